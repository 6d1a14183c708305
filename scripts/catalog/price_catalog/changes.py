"""What differs between two catalogs, for people to read."""

from collections.abc import Iterator

from price_catalog.catalog_file import Catalog, Model, Price, Provider, Rule


def describe(before: Catalog, after: Catalog) -> list[str]:
    """One line for each change, by provider."""
    lines: list[str] = []
    head: list[tuple[str, object, object]] = [
        ("version", before.version, after.version),
        ("sources", before.sources, after.sources),
    ]
    head += [("default_max_output_tokens", before.default_max_output_tokens, after.default_max_output_tokens)]
    lines += [f"{what}: {old} becomes {new}" for what, old, new in head if old != new]
    old_providers = {provider.name: provider for provider in before.providers}
    new_providers = {provider.name: provider for provider in after.providers}
    for name in dict.fromkeys([*old_providers, *new_providers]):
        found = list(_provider(old_providers.get(name), new_providers.get(name)))
        if found:
            lines += [f"{name}:", *(f"  {line}" for line in found)]
    if not lines and before != after:
        lines.append("the order of providers or models")
    return lines


def _provider(before: Provider | None, after: Provider | None) -> Iterator[str]:
    if before is None or after is None:
        yield "added" if before is None else "removed"
    old_models = {model.name: model for model in before.models} if before else {}
    new_models = {model.name: model for model in after.models} if after else {}
    if before and after:
        for what in ("aliases", "owns", "fallback"):
            if getattr(before, what) != getattr(after, what):
                yield f"{what}: {getattr(before, what)} becomes {getattr(after, what)}"
    yield from (f"+ {name}: {_now(model)}" for name, model in new_models.items() if name not in old_models)
    yield from (f"- {name}" for name in old_models if name not in new_models)
    for name, model in new_models.items():
        if name in old_models:
            yield from (f"* {name}: {line}" for line in _model(old_models[name], model))
    if before and after and [*old_models] != [*new_models] and {*old_models} == {*new_models}:
        yield "models in another order"


def _model(before: Model, after: Model) -> Iterator[str]:
    if before.max_output_tokens != after.max_output_tokens:
        yield f"max_output_tokens {before.max_output_tokens} becomes {after.max_output_tokens}"
    if before.match != after.match:
        yield from (f"no longer matches {_rule(rule)}" for rule in before.match if rule not in after.match)
        yield from (f"matches {_rule(rule)}" for rule in after.match if rule not in before.match)
    old_prices = {price["id"]: price for price in before.prices}
    new_prices = {price["id"]: price for price in after.prices}
    yield from (f"price {name} removed" for name in old_prices if name not in new_prices)
    for name, price in new_prices.items():
        if name not in old_prices:
            yield f"price {name} added: {_figures(price)}"
        elif price != old_prices[name]:
            yield f"price {name}: {_figures(old_prices[name])} becomes {_figures(price)}"
    if [*old_prices] != [*new_prices] and {*old_prices} == {*new_prices}:
        yield "prices in another order"


def _now(model: Model) -> str:
    return _figures(model.prices[-1]) if model.prices else "unpriced"


def _figures(price: Price) -> str:
    parts = [f"{key} {price[key]}" for key in ("from", "until", "tier", "region", "multiplier") if key in price]
    parts += [f"daily {' '.join(map(str, price['daily'].values()))}"] if "daily" in price else []
    for line, rate in price.get("rates", {}).items():
        if isinstance(rate, str):
            parts.append(f"{line} {rate}")
        else:
            steps = [f"{tier['usd']} above {tier['above']}" for tier in rate.get("tiers", [])]
            per = [f"per {rate['per']}"] if "per" in rate else []
            parts.append(f"{line} {' '.join([rate['usd'], *per, *steps])}")
    return ", ".join(parts)


def _rule(rule: Rule) -> str:
    return " ".join(f"{kind} {value}" for kind, value in rule.items())
