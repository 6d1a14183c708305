"""Upstream's rules become rules that hold for the same names."""

import unittest

from genai_prices import types as upstream
from genai_prices.data import providers

from price_catalog.pricer import matches
from price_catalog.rules import UnknownRule, rules


class Rules(unittest.TestCase):
    """Clauses of every kind."""

    def test_regular_expressions_of_upstream_hold_for_the_same_names(self) -> None:
        names = [
            "mistral-large-latest",
            "mistralai/mistral-large",
            "labs-devstral-small",
            "open-mixtral-8x7b",
            "o1",
            "o3-pro",
            "o2",
            "gemini-2.5-pro",
            "gemini-2.5-pro-tts",
            "gemini-2.5-pro-tts-x",
            "gemini-2.5-pro-ttsx",
            "jev-1.13",
            "typesafe/jev-1.14-20260102",
            "gpt-6-sol-2026-01-02",
            "claude-opus-5@20260102",
            "gemini-3.5-flash-001",
            "gemini-3.5-flash-lite",
            "composer-2.5[fast=true]",
            "composer-2x5[fast=true]",
        ]
        for pattern in sorted(_patterns()):
            clause = upstream.ClauseRegex(pattern)
            translated = rules(clause)
            for name in names:
                with self.subTest(pattern=pattern, name=name):
                    holds = any(matches(rule, name) for rule in translated)
                    # A date is taken in either notation, so that rule alone may hold for more names.
                    wider = holds and all("dated" in rule for rule in translated)
                    self.assertTrue(holds == clause.is_match(name) or wider)

    def test_an_unknown_regular_expression_is_refused(self) -> None:
        for pattern in (r"^a.b$", r"a\d+", r"^(a|b)$", r"^a[bc]$", r"^a\w$"):
            with self.subTest(pattern=pattern), self.assertRaises(UnknownRule):
                rules(upstream.ClauseRegex(pattern))

    def test_texts_are_in_lower_case(self) -> None:
        self.assertEqual(rules(upstream.ClauseStartsWith("GLM-")), [{"prefix": "glm-"}])


def _patterns() -> set[str]:
    found: set[str] = set()

    def walk(clause: object) -> None:
        if isinstance(clause, upstream.ClauseRegex):
            found.add(clause.regex)
        for part in [*getattr(clause, "or_", []), *getattr(clause, "and_", [])]:
            walk(part)

    for provider in providers:
        for clause in [provider.model_match, provider.provider_match, *(model.match for model in provider.models)]:
            walk(clause)
    return found
