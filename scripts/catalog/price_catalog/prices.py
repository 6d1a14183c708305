"""The prices of one upstream model, written as prices of the catalog."""

from datetime import date

from genai_prices import types as upstream

from price_catalog.catalog_file import Price
from price_catalog.errors import CatalogError
from price_catalog.identities import identity
from price_catalog.rates import Noise, rates

# What a caller's context becomes: the tier that the call was billed under.
TIERED_CONTEXTS = ("processing", "service_tier", "speed")
REGIONS = {"mistral/eu": "eu"}


class UnknownPriceShape(CatalogError):
    """Upstream makes a price depend on something that has no translation yet: add it here."""


def prices(provider: str, model: upstream.ModelInfo, noise: Noise) -> list[Price]:
    """Standard prices in upstream's order (the last in force wins), then the variants in theirs (the first wins)."""
    name = f"{provider}/{model.id}"
    conditional = model.prices if isinstance(model.prices, list) else [upstream.ConditionalPrice(prices=model.prices)]
    found = [_price(name, each.constraint, {}, each.prices, noise) for each in conditional]
    for variant in model.price_variants or []:
        patch = _price(name, variant.constraint, _selection(variant.when), variant.prices, noise)
        # An empty patch says what is true without it, unless it stands in the way of a later one; upstream has no
        # two variants for the same call.
        if patch["rates"]:
            found.append(patch)
    return [price for price in found if price["rates"]]


def _selection(when: dict[str, str]) -> dict[str, str]:
    if len(when) != 1:
        raise UnknownPriceShape(f"no translation for a variant with several conditions: {when!r}")
    ((key, value),) = when.items()
    if key in TIERED_CONTEXTS:
        return {"tier": value}
    if key == "search_type":
        return {"tier": f"search_{value}"}
    if key == "route" and value in REGIONS:
        return {"region": REGIONS[value]}
    raise UnknownPriceShape(f"no translation for a variant with the condition {when!r}")


def _price(
    name: str,
    constraint: upstream.StartDateConstraint | upstream.TimeOfDateConstraint | None,
    selection: dict[str, str],
    upstream_prices: upstream.ModelPrice,
    noise: Noise,
) -> Price:
    price: Price = {"id": name}
    match constraint:
        case None:
            pass
        case upstream.StartDateConstraint(start_date=start):
            price["from"] = _midnight(start)
        case upstream.TimeOfDateConstraint(start_time=start, end_time=end):
            if start.utcoffset() or end.utcoffset() or start.second or end.second:
                raise UnknownPriceShape(f"no translation for the time of day {constraint!r}")
            price["daily"] = {"from": f"{start:%H:%M}", "to": f"{end:%H:%M}", "zone": "UTC"}
    price |= selection
    price["rates"] = rates(upstream_prices, lambda key, old, new: noise(f"{name} {key}", old, new))
    price["id"] = identity(name, price)
    return price


def _midnight(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"
