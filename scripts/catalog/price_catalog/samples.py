"""Calls to price: ids, instants, contexts and usage that reach every price of a model."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from genai_prices import types as upstream

from price_catalog.catalog_file import Rule
from price_catalog.pricer import Usage
from price_catalog.rates import TOKEN_KEYS, UNIT_KEYS
from price_catalog.rules import rules

EARLIEST = datetime(2023, 1, 1, tzinfo=UTC)
LATEST = datetime(2027, 12, 31, tzinfo=UTC)
COMMON_LINES = ("input", "output", "cache_read", "cache_write", "cache_write_300s", "cache_write_3600s", "reasoning")


@dataclass(frozen=True)
class Sample:
    """One call."""

    provider: str | None
    model: str
    at: datetime
    context: dict[str, str]
    usage: Usage


def of_model(provider: upstream.Provider, model: upstream.ModelInfo, chance: random.Random) -> Iterator[Sample]:
    """Calls for every id shape of a model, at every change of its prices, in every context."""
    ids = sorted({id for rule in rules(model.match) for id in _ids(rule)})
    instants = list(_instants(model, chance))
    contexts: list[dict[str, str]] = [{}, {"service_tier": "default"}, {"processing": "unheard-of"}]
    contexts += [dict(variant.when) for variant in model.price_variants or []]
    names = [provider.id, *_names(provider)]
    for id in ids:
        yield Sample(chance.choice(names), _any_case(id, chance), chance.choice(instants), {}, _usage(model, chance))
    yield Sample(None, chance.choice(ids), chance.choice(instants), {}, _usage(model, chance))
    for at in instants:
        for context in contexts:
            yield Sample(provider.id, chance.choice(ids), at, context, _usage(model, chance))


def _names(provider: upstream.Provider) -> Iterator[str]:
    """Other names of a provider, and names that have its own in them."""
    for rule in rules(provider.provider_match) if provider.provider_match else []:
        yield from _ids(rule)
    yield from (provider.id.upper(), f" {provider.id} ")


def _ids(rule: Rule) -> Iterator[str]:
    ((kind, value),) = rule.items()
    match kind:
        case "equals":
            yield value
        case "prefix":
            yield from (value, f"{value}-x", f"{value}-20260102")
        case "suffix":
            yield from (value, f"x/{value}")
        case "contains":
            yield from (
                value,
                f"x.{value}",
                f"{value}-v1:0",
                f"arn:aws:bedrock:us-east-1:123:inference-profile/{value}-v1:0",
            )
        case "dated":
            yield from (f"{value}-20260102", f"{value}-2026-01-02")
        case "digit_after":
            yield from (f"{value}0", f"{value}01-preview")
        case "all":
            yield from _ids(value[0])
        case "any":
            for part in value:
                yield from _ids(part)


def _any_case(id: str, chance: random.Random) -> str:
    return chance.choice((id, id.upper(), id.title()))


def _instants(model: upstream.ModelInfo, chance: random.Random) -> Iterator[datetime]:
    conditions: list[Any] = list(model.prices) if isinstance(model.prices, list) else []
    conditions += model.price_variants or []
    yield datetime(2026, 11, 22, 12, tzinfo=UTC)
    yield EARLIEST + (LATEST - EARLIEST) * chance.random()
    for condition in conditions:
        match condition.constraint:
            case upstream.StartDateConstraint(start_date=day):
                start = datetime(day.year, day.month, day.day, tzinfo=UTC)
                yield from (start - timedelta(seconds=1), start, start + timedelta(days=chance.random() * 30))
            case upstream.TimeOfDateConstraint(start_time=start, end_time=end):
                day = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=chance.randrange(20))
                for time in (start, end):
                    at = datetime.combine(day, time.replace(tzinfo=None), UTC)
                    yield from (at - timedelta(seconds=1), at)


def _usage(model: upstream.ModelInfo, chance: random.Random) -> Usage:
    """Counts on common lines and on all that the model prices, also around the steps of its rates."""
    sets = [each.prices for each in model.prices] if isinstance(model.prices, list) else [model.prices]
    sets += [variant.prices for variant in model.price_variants or []]
    priced = {key: price for prices in sets for key, price in prices.__dict__.items() if price is not None}
    lines = {*COMMON_LINES, *(TOKEN_KEYS[key] for key in priced if key in TOKEN_KEYS)}
    usage = {line: Decimal(chance.randrange(0, 20_000)) for line in sorted(lines) if chance.random() < 0.7}
    usage |= {
        UNIT_KEYS[key][0]: Decimal(chance.randrange(0, 50))
        for key in sorted(priced)
        if key in UNIT_KEYS and key != "requests_kcount"
    }
    if "audio_second" in usage and "audio_second_in" in usage:
        # A recording is counted on one of the two.
        del usage[chance.choice(("audio_second", "audio_second_in"))]
    steps = sorted(
        {tier.start for price in priced.values() if isinstance(price, upstream.TieredPrices) for tier in price.tiers}
    )
    if steps and chance.random() < 0.7:
        total = chance.choice(steps) + chance.choice((-1, 0, 1, 5000))
        rest = sum((count for line, count in usage.items() if line in lines - _output(lines)), Decimal(0))
        usage["input"] = max(Decimal(0), usage.get("input", Decimal(0)) + total - rest)
    return usage


def _output(lines: set[str]) -> set[str]:
    return {line for line in lines if line in ("output", "reasoning", "citation") or line.endswith("_out")}
