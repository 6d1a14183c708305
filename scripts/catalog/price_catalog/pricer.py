"""Prices a call by the rules of the format: the reference that is held against upstream."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from price_catalog.catalog_file import Catalog, Model, Price, Provider, Rule
from price_catalog.lines import TOKEN_LINES

Usage = dict[str, Decimal]

OUTPUT_LINES = frozenset({"output", "reasoning", "audio_out", "image_out", "video_out", "citation"})
COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# More digits than any quotient needs before it is rounded.
PRECISE = Context(prec=60)
PER_LINE = Decimal("1e-12")


@dataclass(frozen=True)
class Found:
    """A model, and whether it is another provider's."""

    provider: Provider
    model: Model
    through_fallback: bool


def matches(rule: Rule, text: str) -> bool:
    """Whether a rule holds for a lower-case text."""
    ((kind, value),) = rule.items()
    match kind:
        case "equals":
            return bool(text == value)
        case "prefix":
            return text.startswith(value)
        case "suffix":
            return text.endswith(value)
        case "contains":
            return value in text
        case "dated":
            return re.fullmatch(re.escape(value) + r"[-@](\d{8}|\d{4}-\d{2}-\d{2})", text) is not None
        case "digit_after":
            return re.match(re.escape(value) + r"\d", text) is not None
        case "not":
            return not matches(value, text)
        case "all":
            return all(matches(part, text) for part in value)
        case "any":
            return any(matches(part, text) for part in value)
    raise ValueError(f"no rule is named {kind!r}")


def find_provider(catalog: Catalog, name: str | None, model: str) -> Provider | None:
    """The provider of that name, or the one that owns the model where no name is given."""
    if not name:
        owned = model.lower()
        return next((p for p in catalog.providers if any(matches(rule, owned) for rule in p.owns)), None)
    wanted = name.lower().strip()
    for provider in catalog.providers:
        if provider.name == wanted:
            return provider
    return next((p for p in catalog.providers if any(matches(rule, wanted) for rule in p.aliases)), None)


def find(catalog: Catalog, provider: Provider, model: str) -> Found | None:
    """The model of that id, also with a compact date, also of a provider to fall back on."""
    id = model.lower()
    dashed = COMPACT_DATE.sub(_dashed, id)
    for candidate in [id] if dashed == id else [id, dashed]:
        for place, owner in enumerate([provider, *(catalog.provider(name) for name in provider.fallback)]):
            for each in owner.models:
                if any(matches(rule, candidate) for rule in each.match):
                    return Found(owner, each, place > 0)
    return None


def _dashed(found: re.Match[str]) -> str:
    try:
        return f"-{date(int(found[1]), int(found[2]), int(found[3])).isoformat()}"
    except ValueError:
        return found[0]


def in_force(price: Price, at: datetime) -> bool:
    """Whether a price holds at an instant."""
    if "from" in price and at < _instant(price["from"]):
        return False
    if "until" in price and at >= _instant(price["until"]):
        return False
    return "daily" not in price or _in_span(price["daily"], at)


def _in_span(span: dict[str, Any], at: datetime) -> bool:
    local = at.astimezone(UTC if span["zone"] == "UTC" else ZoneInfo(span["zone"]))
    now, start, end = f"{local:%H:%M}", span["from"], span["to"]
    began = local.date()
    if start <= end:
        inside = start <= now < end
    else:
        inside = now >= start or now < end
        if now < end:
            began -= timedelta(days=1)
    return inside and ("weekdays" not in span or WEEKDAYS[began.weekday()] in span["weekdays"])


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def rates(found: Found, at: datetime, tier: str | None, region: str | None) -> tuple[dict[str, Any], Decimal] | None:
    """The rates that apply by line, and the factor on token lines; nothing where the model has no price."""
    standard = None
    applied: dict[str, Any] = {}
    factor = None
    for price in found.model.prices:
        if not in_force(price, at):
            continue
        if "tier" not in price and "region" not in price:
            standard = price
            continue
        if found.through_fallback or price.get("tier", tier) != tier or price.get("region", region) != region:
            continue
        for line, rate in price.get("rates", {}).items():
            applied.setdefault(line, rate)
        if factor is None and "multiplier" in price:
            factor = Decimal(price["multiplier"])
    if standard is None:
        return None
    return standard["rates"] | applied, factor or Decimal(1)


def fallbacks(line: str) -> list[str]:
    """The lines whose rate stands in for a missing one, nearest first."""
    if line.startswith("cache_write_"):
        return ["cache_write", "input"]
    if line.startswith("cache_read_"):
        return ["cache_read", line.removeprefix("cache_read_") + "_in", "input"]
    if line in ("cache_read", "cache_write", "audio_in", "image_in", "video_in", "tool_in"):
        return ["input"]
    if line in OUTPUT_LINES and line != "output":
        return ["output"]
    return {"audio_second_in": ["audio_second"], "audio_second_out": ["audio_second"], "page_annotated": ["page"]}.get(
        line, []
    )


def is_tokens(line: str) -> bool:
    """Whether a line counts tokens."""
    return line in TOKEN_LINES or line.startswith("cache_write_")


def unit_price(rate: Any, line: str, factor: Decimal, input_tokens: Decimal) -> Decimal:
    """USD for one unit, unrounded."""
    usd = rate if isinstance(rate, str) else rate["usd"]
    if isinstance(rate, dict):
        for tier in rate.get("tiers", []):
            if input_tokens > tier["above"]:
                usd = tier["usd"]
    if is_tokens(line):
        return PRECISE.divide(Decimal(usd) * factor, Decimal(1_000_000))
    return PRECISE.divide(Decimal(usd), Decimal(rate.get("per", 1) if isinstance(rate, dict) else 1))


def cost(
    found: Found, at: datetime, usage: Usage, tier: str | None = None, region: str | None = None
) -> dict[str, Decimal] | None:
    """USD by line, each rounded half-even to 12 decimals; a line without a rate is left out."""
    applied = rates(found, at, tier, region)
    if applied is None:
        return None
    by_line, factor = applied
    input_tokens = sum(
        (count for line, count in usage.items() if is_tokens(line) and line not in OUTPUT_LINES), Decimal(0)
    )
    counted = usage | ({"request": Decimal(1)} if "request" in by_line else {})
    lines: dict[str, Decimal] = {}
    for line, count in counted.items():
        rate = next((by_line[each] for each in [line, *fallbacks(line)] if each in by_line), None)
        if rate is None:
            continue
        if isinstance(rate, dict) and "minimum" in rate and count > 0:
            count = max(count, Decimal(rate["minimum"]))
        exact = PRECISE.multiply(unit_price(rate, line, factor, input_tokens), count)
        lines[line] = exact.quantize(PER_LINE, ROUND_HALF_EVEN, PRECISE)
    return lines
