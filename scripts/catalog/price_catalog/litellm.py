"""What litellm knows of models: its table of prices and limits, cut out of the pinned wheel."""

import json
import zipfile
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

TABLE = "litellm/model_prices_and_context_window_backup.json"
WHEELS = Path(__file__).resolve().parents[3] / "target" / "catalog" / "wheels"

# litellm's names of providers, where ids carry them before a slash, and ours.
PREFIXES = {
    "anthropic": "anthropic",
    "azure": "azure",
    "azure_ai": "azure",
    "baseten": "baseten",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "cerebras": "cerebras",
    "cloudflare": "cloudflare",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "databricks": "databricks",
    "deepseek": "deepseek",
    "elevenlabs": "elevenlabs",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "github_copilot": "github-copilot",
    "groq": "groq",
    "meta": "meta",
    "minimax": "minimax",
    "mistral": "mistral",
    "moonshot": "moonshotai",
    "novita": "novita",
    "openai": "openai",
    "ovhcloud": "ovhcloud",
    "perplexity": "perplexity",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "typesafe": "typesafe",
    "vertex_ai": "google",
    "voyage": "voyageai",
    "xai": "x-ai",
    "zai": "zai",
}


@dataclass(frozen=True)
class Entry:
    """One row of litellm's table, under our name of the provider and the id that a caller would use."""

    key: str
    provider: str
    model: str
    facts: dict[str, Any]


def source() -> str:
    """Name and version of what is read."""
    return f"litellm {_wheel().name.split('-')[1]}"


def _wheel() -> Path:
    found = sorted(WHEELS.glob("litellm-*.whl"))
    if len(found) != 1:
        raise FileNotFoundError(f"put exactly one wheel of litellm into {WHEELS}: run scripts/catalog/refresh")
    return found[0]


@cache
def entries() -> tuple[Entry, ...]:
    """All rows of providers that the catalog knows, in litellm's order."""
    with zipfile.ZipFile(_wheel()) as wheel:
        table = json.loads(wheel.read(TABLE), parse_float=Decimal)
    return tuple(entry for key, facts in table.items() if (entry := _entry(key, facts)) is not None)


def _entry(key: str, facts: dict[str, Any]) -> Entry | None:
    # `vertex_ai-anthropic_models` is `vertex_ai` with a family.
    owner = str(facts.get("litellm_provider", ""))
    provider = PREFIXES.get(owner) or PREFIXES.get(owner.split("-")[0])
    if provider is None:
        return None
    prefix, _, rest = key.partition("/")
    if prefix in PREFIXES and PREFIXES[prefix] == provider and rest:
        # `bedrock/us-gov-west-1/id` is a price of one region, which no id names.
        if provider == "aws" and "/" in rest:
            return None
        return Entry(key, provider, rest, facts)
    return Entry(key, provider, key, facts)
