"""Whether the catalog prices as upstream does, except where a correction says otherwise."""

import random
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

from genai_prices import types as upstream
from genai_prices.data import providers as upstream_providers
from genai_prices.data_snapshot import DataSnapshot

from price_catalog import pricer, samples
from price_catalog.catalog_file import Catalog
from price_catalog.corrections import Correction
from price_catalog.inclusive import inclusive
from price_catalog.pricer import Found
from price_catalog.samples import Sample

# Our figures are rounded at 12 decimals on each line, and some are freed of float noise of 1e-12 of their value.
PER_LINE = Decimal("1e-12")
OF_COST = Decimal("1e-11")
# The one rule that is not upstream's to the letter.
WIDER = "(a date after a name is taken in either notation)"


@dataclass
class Outcome:
    """What a run found."""

    compared: int = 0
    equal: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    unexplained: list[str] = field(default_factory=list)


def compare(catalog: Catalog, corrections: list[Correction], seed: int) -> Outcome:
    """Prices samples of every model of upstream both ways, also through the providers that fall back on its own."""
    chance = random.Random(seed)
    snapshot = DataSnapshot(upstream_providers, from_auto_update=False)
    outcome = Outcome()
    for provider in upstream_providers:
        fallen_back_on = [
            model
            for other in upstream_providers
            if other.id in (provider.fallback_model_providers or [])
            for model in other.models
        ]
        for model in provider.models + fallen_back_on:
            for sample in samples.of_model(provider, model, chance):
                _judge(catalog, corrections, snapshot, sample, outcome)
    return outcome


def _judge(
    catalog: Catalog, corrections: list[Correction], snapshot: DataSnapshot, sample: Sample, outcome: Outcome
) -> None:
    outcome.compared += 1
    theirs, their_model = _theirs(snapshot, sample)
    ours, found = _ours(catalog, sample)
    if _same(ours, theirs, len(sample.usage)):
        outcome.equal += 1
        return
    call = f"{sample.provider} {sample.model} {sample.at:%Y-%m-%dT%H:%M:%SZ} {sample.context}"
    line = f"{call}: ours {ours}, upstream's {theirs}"
    if their_model is None and found is not None and _matched_by_date(found, sample):
        reasons = [WIDER]
    else:
        reasons = [row.id for row in corrections if _touches(row, sample, found, their_model)]
    for reason in reasons:
        outcome.explained[reason] += 1
        outcome.examples.setdefault(reason, line)
    if not reasons:
        outcome.unexplained.append(line)


def _theirs(snapshot: DataSnapshot, sample: Sample) -> tuple[Decimal | None, str | None]:
    try:
        provider, model = snapshot.find_provider_model(sample.model, None, sample.provider, None)
    except LookupError:
        return None, None
    usage = upstream.Usage(**inclusive(sample.usage))
    price = model.calc_price(usage, provider, genai_request_timestamp=sample.at, price_context=sample.context)
    return price.total_price, model.id


def _ours(catalog: Catalog, sample: Sample) -> tuple[Decimal | None, Found | None]:
    provider = pricer.find_provider(catalog, sample.provider, sample.model)
    found = pricer.find(catalog, provider, sample.model) if provider else None
    if found is None:
        return None, None
    tier, region = _selection(sample)
    lines = pricer.cost(found, sample.at, sample.usage, tier, region)
    return (None if lines is None else sum(lines.values(), Decimal(0))), found


def _selection(sample: Sample) -> tuple[str | None, str | None]:
    """Tier and region of a call, as the conversion names them."""
    tier, region = None, None
    for key, value in sample.context.items():
        if key == "route":
            region = value.removeprefix("mistral/")
        else:
            tier = f"search_{value}" if key == "search_type" else value
    return tier, region


def _same(ours: Decimal | None, theirs: Decimal | None, lines: int) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return abs(ours - theirs) <= (lines + 1) * PER_LINE + OF_COST * theirs


def _matched_by_date(found: Found, sample: Sample) -> bool:
    id = sample.model.lower()
    return all("dated" in rule for rule in found.model.match if pricer.matches(rule, id))


def _touches(row: Correction, sample: Sample, found: Found | None, their_model: str | None) -> bool:
    """Whether a correction changed the model that either side found, and for a call like this one."""
    if not _concerns(row, _selection(sample)[0]):
        return False
    named = [each["name"] if isinstance(each, dict) else each for each in row.details.get("models", [])]
    ending = row.details.get("models_ending")
    if (
        found is not None
        and found.provider.name == row.provider
        and (found.model.name in named or (ending and found.model.name.endswith(ending)))
    ):
        return True
    return row.provider == sample.provider and their_model is not None and their_model in named


def _concerns(row: Correction, tier: str | None) -> bool:
    """Whether a correction speaks of calls of a tier: one of other tiers or of regions explains nothing about them."""
    match row.action:
        case "change prices":
            return any("region" not in price and price.get("tier") in (None, tier) for price in row.details["prices"])
        case "set rates":
            return row.details.get("tier") in (None, tier)
        case "limit output" | "add aliases":
            return False
    return True
