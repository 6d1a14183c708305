"""The catalog as a file: one JSON object per line, keys in a fixed order."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# One rule on a name and one price, as the format has them.
Rule = dict[str, Any]
Price = dict[str, Any]

FORMAT = 1


@dataclass
class Model:
    """One model of a provider; without prices it is known and unpriced."""

    name: str
    match: list[Rule]
    prices: list[Price]
    max_output_tokens: int | None = None


@dataclass
class Provider:
    """One provider and its models, in the order in which they are tried."""

    name: str
    aliases: list[Rule] = field(default_factory=list)
    owns: list[Rule] = field(default_factory=list)
    fallback: list[str] = field(default_factory=list)
    models: list[Model] = field(default_factory=list)


@dataclass
class Catalog:
    """All that the file holds."""

    version: str
    sources: list[str]
    default_max_output_tokens: int
    providers: list[Provider]

    def provider(self, name: str) -> Provider:
        """The provider with exactly this name."""
        return next(provider for provider in self.providers if provider.name == name)


PRICE_KEYS = ("id", "from", "until", "daily", "tier", "region", "rates", "multiplier", "source", "reason")


def text(catalog: Catalog) -> str:
    """The whole file."""
    lines: list[dict[str, Any]] = [
        {
            "catalog": {
                "format": FORMAT,
                "version": catalog.version,
                "sources": catalog.sources,
                "default_max_output_tokens": catalog.default_max_output_tokens,
            }
        }
    ]
    for provider in catalog.providers:
        lines.append(
            _without_empty(
                {
                    "provider": provider.name,
                    "aliases": provider.aliases,
                    "owns": provider.owns,
                    "fallback": provider.fallback,
                }
            )
        )
        lines.extend(_model(provider.name, model) for model in provider.models)
    return "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)


def _model(provider: str, model: Model) -> dict[str, Any]:
    line: dict[str, Any] = {"provider": provider, "model": model.name, "match": model.match}
    if model.max_output_tokens is not None:
        line["max_output_tokens"] = model.max_output_tokens
    line["prices"] = [{key: price[key] for key in PRICE_KEYS if key in price} for price in model.prices]
    return line


def _without_empty(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if value != []}


def read(path: Path) -> Catalog:
    """The catalog that a file holds."""
    head, *rest = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    about = head["catalog"]
    catalog = Catalog(about["version"], about["sources"], about["default_max_output_tokens"], [])
    for line in rest:
        if "model" in line:
            catalog.providers[-1].models.append(
                Model(line["model"], line["match"], line["prices"], line.get("max_output_tokens"))
            )
        else:
            catalog.providers.append(
                Provider(line["provider"], line.get("aliases", []), line.get("owns", []), line.get("fallback", []))
            )
    return catalog
