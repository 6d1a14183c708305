"""Where litellm's figures and ours differ, on the ids that both know."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from price_catalog import litellm_rates, pricer, settings
from price_catalog.catalog_file import Catalog
from price_catalog.lines import Rates
from price_catalog.litellm import Entry
from price_catalog.pricer import Found

# Closer than this the two only round differently.
SAME = Decimal("1e-6")


@dataclass(frozen=True)
class Difference:
    """One figure on which the two differ, in USD per million tokens."""

    provider: str
    model: str
    line: str
    ours: str
    litellms: str


def instant(catalog: Catalog) -> datetime:
    """The instant at which the two are compared: noon of the catalog's own day, so that a run always says the same."""
    return datetime.fromisoformat(f"{settings.day_of(catalog.version)}T12:00:00+00:00")


def differences(catalog: Catalog, entries: tuple[Entry, ...]) -> tuple[int, list[Difference]]:
    """How many ids both know, and every difference between them."""
    at = instant(catalog)
    pairs = 0
    found: list[Difference] = []
    for entry in entries:
        model = pricer.find(catalog, catalog.provider(entry.provider), entry.model)
        theirs = litellm_rates.rates(entry.facts, None, at)
        if model is None or not theirs:
            continue
        ours = pricer.rates(model, at, None, None)
        if ours is None or not _prices_tokens(ours[0]):
            continue
        pairs += 1
        found += _lines(entry, "", ours[0], theirs)
        found += _tiers(entry, model, at, ours[0])
    return pairs, found


def _tiers(entry: Entry, model: Found, at: datetime, standard: Rates) -> Iterator[Difference]:
    """Differences on the tiers for which both have rates."""
    for tier in litellm_rates.TIERS.values():
        if tier is None:
            continue
        theirs = litellm_rates.rates(entry.facts, tier, at)
        applied = pricer.rates(model, at, tier, None)
        if not theirs or applied is None or applied[0] == standard:
            continue
        changed = {line for line, rate in applied[0].items() if standard.get(line) != rate}
        yield from _lines(entry, f"{tier} ", applied[0], theirs, changed & set(theirs))


def _lines(entry: Entry, label: str, ours: Rates, theirs: Rates, only: set[str] | None = None) -> Iterator[Difference]:
    lines = [line for line in litellm_rates.KEYS.values() if line in ours or line in theirs]
    for line in lines if only is None else [line for line in lines if line in only]:
        for step in [0, *_steps(ours, theirs, line)]:
            our_figure, their_figure = _figure(ours, line, step), _figure(theirs, line, step)
            if _same(our_figure, their_figure):
                continue
            name = f"{label}{line}" + (f" above {step}" if step else "")
            yield Difference(entry.provider, entry.key, name, our_figure, their_figure)


def _steps(ours: Rates, theirs: Rates, line: str) -> list[int]:
    """Where either changes its rate, to the thousand: steps at 199,999 and at 200,000 tokens are one."""
    steps = set()
    for rates in (ours, theirs):
        rate = _rate(rates, line)
        if isinstance(rate, dict):
            steps |= {round(tier["above"], -3) for tier in rate.get("tiers", [])}
    return sorted(steps)


def _rate(rates: Rates, line: str) -> object:
    return next((rates[each] for each in [line, *pricer.fallbacks(line)] if each in rates), None)


def _figure(rates: Rates, line: str, step: int) -> str:
    """The rate of a line, or of the line that stands in for it, just above a step; empty where there is none."""
    rate = _rate(rates, line)
    if rate is None:
        return ""
    if isinstance(rate, str):
        return rate
    assert isinstance(rate, dict)
    figure = rate["usd"]
    for tier in rate.get("tiers", []):
        if step and tier["above"] <= step:
            figure = tier["usd"]
    return str(figure)


def _same(ours: str, theirs: str) -> bool:
    # No rate and a rate of zero for what a model never counts come to the same.
    if not ours or not theirs:
        return (ours or "0") == (theirs or "0")
    return abs(Decimal(ours) - Decimal(theirs)) <= SAME * max(Decimal(ours), Decimal(theirs))


def _prices_tokens(rates: Rates) -> bool:
    return "input" in rates or "output" in rates
