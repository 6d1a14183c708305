"""Our corrections: what they say and what they do to the catalog that upstream gives."""

import copy
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from price_catalog.catalog_file import Catalog, Model, Price, Provider
from price_catalog.errors import CatalogError
from price_catalog.identities import identity
from price_catalog.lines import Rates, in_order

FREE: Rates = {"input": "0", "output": "0"}


class BadCorrection(CatalogError):
    """A correction that cannot be applied, or that changes nothing any more."""


@dataclass(frozen=True)
class Correction:
    """One decision against upstream, with who says so, why and since when we know."""

    id: str
    provider: str
    action: str
    source: str
    reason: str
    date: str
    details: dict[str, Any]

    def fail(self, what: str) -> BadCorrection:
        """The failure of this correction."""
        return BadCorrection(f"correction {self.id}: {what}")

    def sign(self, price: Price) -> Price:
        """The price with the correction's source and reason on it."""
        return price | {"source": self.source, "reason": self.reason}


def load(folder: Path) -> list[Correction]:
    """All corrections of a folder, files by name, rows in their order."""
    found = [
        _correction(row)
        for file in sorted(folder.glob("*.toml"))
        for row in tomllib.loads(file.read_text(encoding="utf-8"))["correction"]
    ]
    ids = [correction.id for correction in found]
    for id in ids:
        if ids.count(id) > 1:
            raise BadCorrection(f"correction {id}: use each id once")
    return found


def _correction(row: dict[str, Any]) -> Correction:
    common = ("id", "provider", "action", "source", "reason", "date")
    missing = [key for key in common if key not in row]
    if missing:
        raise BadCorrection(f"correction {row.get('id', '?')}: add {', '.join(missing)}")
    details = {key: value for key, value in row.items() if key not in common}
    return Correction(**{key: str(row[key]) for key in common}, details=details)


def apply(catalog: Catalog, corrections: list[Correction]) -> None:
    """Applies the corrections in their order."""
    for correction in corrections:
        if correction.action not in ACTIONS:
            raise correction.fail(f"no action is named {correction.action!r}")
        ACTIONS[correction.action](catalog, correction)


def _add_provider(catalog: Catalog, correction: Correction) -> None:
    if any(provider.name == correction.provider for provider in catalog.providers):
        raise correction.fail("upstream has the provider now")
    catalog.providers.append(Provider(correction.provider, correction.details.get("aliases", [])))


def _add_aliases(catalog: Catalog, correction: Correction) -> None:
    aliases = _provider(catalog, correction).aliases
    for alias in correction.details["aliases"]:
        if alias in aliases:
            raise correction.fail(f"upstream has the alias {alias} now")
        aliases.append(alias)


def _add_matches(catalog: Catalog, correction: Correction) -> None:
    for model in _models(catalog, correction):
        for rule in correction.details["match"]:
            if rule in model.match:
                raise correction.fail(f"upstream has the rule {rule} now")
            model.match.append(rule)


def _add_models(catalog: Catalog, correction: Correction) -> None:
    provider = _provider(catalog, correction)
    for row in correction.details["models"]:
        if any(model.name == row["name"] for model in provider.models):
            raise correction.fail(f"upstream has the model {row['name']} now")
        prices = _like(catalog, correction, row) if "like" in row else []
        prices += row.get("prices", [])
        added = Model(row["name"], row["match"], [], row.get("max_output_tokens"))
        added.prices = [_signed(correction, provider, added, price) for price in prices]
        provider.models.insert(_place(correction, provider, row.get("before")), added)


def _like(catalog: Catalog, correction: Correction, row: dict[str, Any]) -> list[Price]:
    """Copies of another model's prices: the standard ones, and the variants of the tiers that are named."""
    name, _, model_name = row["like"].partition("/")
    model = next((model for model in catalog.provider(name).models if model.name == model_name), None)
    if model is None:
        raise correction.fail(f"no model {row['like']}")
    tiers = row.get("with_tiers", [])
    return [
        copy.deepcopy(price)
        for price in model.prices
        if ("tier" not in price and "region" not in price) or price.get("tier") in tiers
    ]


def _place(correction: Correction, provider: Provider, before: str | None) -> int:
    if before is None:
        return len(provider.models)
    for index, model in enumerate(provider.models):
        if model.name == before:
            return index
    raise correction.fail(f"no model {before}")


def _change_prices(catalog: Catalog, correction: Correction) -> None:
    provider = _provider(catalog, correction)
    for model in _models(catalog, correction):
        added = [_signed(correction, provider, model, price) for price in correction.details["prices"]]
        match correction.details["place"]:
            case "first":
                # The one that was always in force now follows: it needs its start.
                _start(correction, provider, model)
                model.prices = added + model.prices
            case "last":
                model.prices = model.prices + added
            case "replace standard":
                kept = [price for price in model.prices if "tier" in price or "region" in price]
                model.prices = added + kept
            case other:
                raise correction.fail(f"no place is named {other!r}")


def _start(correction: Correction, provider: Provider, model: Model) -> None:
    since = correction.details.get("upstream_from")
    if since is None or "from" in model.prices[0]:
        raise correction.fail("say with upstream_from when upstream's first price begins, if it has no start")
    model.prices[0] = _signed(correction, provider, model, {"from": since} | model.prices[0])


def _set_rates(catalog: Catalog, correction: Correction) -> None:
    provider = _provider(catalog, correction)
    tier = correction.details.get("tier")
    for model in _models(catalog, correction):
        changed = False
        for index, price in enumerate(model.prices):
            if price.get("tier") != tier or "region" in price:
                continue
            rates = price["rates"] | correction.details["rates"]
            changed |= rates != price["rates"]
            model.prices[index] = _signed(correction, provider, model, price | {"rates": rates})
        if not changed:
            raise correction.fail(f"upstream has these rates of {model.name} now")


def _free(catalog: Catalog, correction: Correction) -> None:
    provider = _provider(catalog, correction)
    for model in _models(catalog, correction):
        if model.prices:
            raise correction.fail(f"upstream has a price of {model.name} now")
        model.prices = [_signed(correction, provider, model, {"rates": FREE})]


def _leave_unpriced(catalog: Catalog, correction: Correction) -> None:
    for model in _models(catalog, correction):
        if model.prices:
            raise correction.fail(f"upstream has a price of {model.name} now")


def _limit_output(catalog: Catalog, correction: Correction) -> None:
    for model in _models(catalog, correction):
        model.max_output_tokens = correction.details["max_output_tokens"]


ACTIONS: dict[str, Callable[[Catalog, Correction], None]] = {
    "add provider": _add_provider,
    "add aliases": _add_aliases,
    "add matches": _add_matches,
    "add models": _add_models,
    "change prices": _change_prices,
    "set rates": _set_rates,
    "free": _free,
    "leave unpriced": _leave_unpriced,
    "limit output": _limit_output,
}


def _provider(catalog: Catalog, correction: Correction) -> Provider:
    for provider in catalog.providers:
        if provider.name == correction.provider:
            return provider
    raise correction.fail(f"no provider {correction.provider}")


def _models(catalog: Catalog, correction: Correction) -> list[Model]:
    """The models that a correction names, or all whose name has its ending."""
    provider = _provider(catalog, correction)
    ending = correction.details.get("models_ending")
    if ending is not None:
        return [model for model in provider.models if model.name.endswith(ending)]
    by_name = {model.name: model for model in provider.models}
    unknown = [name for name in correction.details["models"] if name not in by_name]
    if unknown:
        raise correction.fail(f"no model {', '.join(unknown)}")
    return [by_name[name] for name in correction.details["models"]]


def _signed(correction: Correction, provider: Provider, model: Model, price: Price) -> Price:
    signed = correction.sign({key: value for key, value in price.items() if key != "id"})
    if "rates" in signed:
        signed["rates"] = in_order(signed["rates"])
    signed["id"] = identity(f"{provider.name}/{model.name}", signed)
    return signed
