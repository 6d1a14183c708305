"""The rules of the format, on the committed catalog."""

import unittest
from datetime import datetime
from decimal import Decimal

from price_catalog import catalog_file, pricer
from price_catalog.places import FILE

CATALOG = catalog_file.read(FILE)


def total(
    provider: str | None, model: str, at: str, tier: str | None = None, region: str | None = None, **usage: int
) -> Decimal | None:
    """USD of a call; nothing where it has no price."""
    owner = pricer.find_provider(CATALOG, provider, model)
    found = pricer.find(CATALOG, owner, model) if owner else None
    if found is None:
        return None
    counts = {line: Decimal(count) for line, count in usage.items()}
    lines = pricer.cost(found, datetime.fromisoformat(at.replace("Z", "+00:00")), counts, tier, region)
    return None if lines is None else sum(lines.values(), Decimal(0))


class Prices(unittest.TestCase):
    """Calls whose price is known from the provider's own page."""

    def test_the_price_of_the_day_counts(self) -> None:
        for provider, model, before, day, after in (
            ("openai", "gpt-4o", "5", "2024-10-02", "2.5"),
            ("gcp.gemini", "gemini-1.5-pro-002", "3.5", "2024-10-01", "1.25"),
            ("anthropic", "claude-3-5-haiku-20241022", "1", "2024-12-03", "0.8"),
            ("together_ai", "mistralai/Mixtral-8x7B-Instruct-v0.1", "0.6", "2026-04-16", "0.9"),
        ):
            with self.subTest(model=model):
                # Below every step of a rate: 1,000 tokens.
                self.assertEqual(total(provider, model, f"{day}T00:00:00Z", input=1000), Decimal(after) / 1000)
                last = "2024-01-01T00:00:00Z"
                self.assertEqual(total(provider, model, last, input=1000), Decimal(before) / 1000)

    def test_deepseek_doubles_on_weekdays_only_and_not_on_holidays(self) -> None:
        for at, usd in (
            ("2026-08-16T15:59:59Z", "0.435"),
            ("2026-08-16T16:00:00Z", "0.66"),
            ("2026-08-17T01:00:00Z", "1.32"),
            ("2026-08-22T01:00:00Z", "1.32"),
            ("2026-08-23T01:00:00Z", "0.66"),
            ("2026-08-24T03:59:59Z", "1.32"),
            ("2026-08-24T04:00:00Z", "0.66"),
            ("2026-08-24T06:00:00Z", "1.32"),
            ("2026-09-25T06:00:00Z", "0.66"),
            ("2026-09-28T06:00:00Z", "1.32"),
            ("2026-10-07T06:00:00Z", "0.66"),
            ("2026-10-08T06:00:00Z", "1.32"),
        ):
            with self.subTest(at=at):
                self.assertEqual(total("deepseek", "deepseek-v4-pro", at, input=1_000_000), Decimal(usd))

    def test_the_old_names_of_deepseek_follow_its_models(self) -> None:
        for at, usd in (
            ("2025-09-05T15:59:59Z", "2.19"),
            ("2025-09-05T17:00:00Z", "1.68"),
            ("2025-09-29T00:00:00Z", "0.42"),
        ):
            self.assertEqual(total("deepseek", "deepseek-reasoner", at, output=1_000_000), Decimal(usd))

    def test_tiers_and_regions_patch_the_standard_price(self) -> None:
        now = "2026-11-22T12:00:00Z"
        self.assertEqual(total("openai", "gpt-5.4", now, input=1000), Decimal("0.0025"))
        self.assertEqual(total("openai", "gpt-5.4", now, "batch", input=1000), Decimal("0.00125"))
        self.assertEqual(total("openai", "gpt-5.4", now, None, "eu", input=1000), Decimal("0.00275"))
        self.assertEqual(total("openai", "gpt-5.4", now, "batch", "eu", input=1000), Decimal("0.001375"))
        self.assertEqual(total("openai", "gpt-5.4", now, None, "eu", web_search=1), Decimal("0.01"))
        self.assertEqual(total("azure", "gpt-5.4", now, "batch", "eu", input=1000), Decimal("0.0025"))

    def test_a_request_fee_depends_on_the_search_context(self) -> None:
        for tier, usd in ((None, "0.005"), ("search_context_low", "0.005"), ("search_context_high", "0.012")):
            self.assertEqual(total("perplexity", "sonar", "2026-11-22T12:00:00Z", tier, input=0), Decimal(usd))

    def test_short_recordings_count_ten_seconds(self) -> None:
        for seconds, usd in ((0, "0"), (3, "0.000308333333"), (10, "0.000308333333"), (20, "0.000616666667")):
            found = total("groq", "whisper-large-v3", "2026-01-01T00:00:00Z", audio_second_in=seconds)
            self.assertEqual(found, Decimal(usd))

    def test_unknown_is_not_free(self) -> None:
        now = "2026-11-22T12:00:00Z"
        self.assertEqual(total("openrouter", "nex-agi/nex-n2-pro:free", now, input=1000), Decimal(0))
        self.assertIsNone(total("ollama", "whatever", now, input=1000))
        self.assertIsNone(total("cerebras", "qwen-3-coder-480b", now, input=1000))
        self.assertIsNone(total("openai", "text-babel-001", now, input=1000))
        self.assertIsNone(total("nobody", "gpt-4o", now, input=1000))

    def test_names_of_providers(self) -> None:
        for name, provider in (
            ("azure.ai.openai", "azure"),
            ("azure.ai.inference", "azure"),
            ("aws.bedrock", "aws"),
            ("gcp.gen_ai", "google"),
            ("gcp.vertex_ai", "google"),
            ("x_ai", "x-ai"),
            ("mistral_ai", "mistral"),
            ("bedrock_converse", "aws"),
            ("together_ai", "together"),
            ("fireworks_ai", "fireworks"),
            ("moonshot", "moonshotai"),
        ):
            with self.subTest(name=name):
                found = pricer.find_provider(CATALOG, name, "")
                self.assertEqual(found and found.name, provider)
