"""litellm's figures in the lines of the catalog."""

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Context, Decimal
from typing import Any

from price_catalog.decimals import text
from price_catalog.lines import Rates

# litellm's key of USD per token, and the line.
KEYS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_3600s",
    "input_cost_per_audio_token": "audio_in",
    "output_cost_per_audio_token": "audio_out",
    "input_cost_per_image_token": "image_in",
    "output_cost_per_image_token": "image_out",
    "input_cost_per_video_token": "video_in",
    "output_cost_per_video_token": "video_out",
    "cache_read_input_audio_token_cost": "cache_read_audio",
    "cache_read_input_image_token_cost": "cache_read_image",
    "output_cost_per_reasoning_token": "reasoning",
    "citation_cost_per_token": "citation",
}
# litellm's ending of a key, and the tier.
TIERS = {"": None, "_batches": "batch", "_flex": "flex", "_priority": "priority"}
STEP = re.compile(r"_above_(\d+)k_tokens")
# litellm stores binary floats: what is behind this many digits is noise.
HONEST = Context(prec=12)


def rates(facts: dict[str, Any], tier: str | None, at: datetime) -> Rates:
    """What litellm lists for a tier at an instant; nothing where it lists nothing."""
    facts = facts | _off_peak(facts, at)
    ending = next(ending for ending, name in TIERS.items() if name == tier)
    found: Rates = {}
    for key, line in KEYS.items():
        base = facts.get(key + ending)
        if base is None:
            continue
        steps = dict(_steps(facts, key, ending))
        if steps:
            tiers = [{"above": above, "usd": _per_million(usd)} for above, usd in sorted(steps.items())]
            found[line] = {"usd": _per_million(base), "tiers": tiers}
        else:
            found[line] = _per_million(base)
    return found


def _steps(facts: dict[str, Any], key: str, ending: str) -> Iterator[tuple[int, Decimal]]:
    for name, value in facts.items():
        if name.startswith(key) and name.endswith(ending) and value is not None:
            step = STEP.fullmatch(name[len(key) : len(name) - len(ending)])
            if step:
                yield int(step[1]) * 1000, value


def _per_million(usd_per_token: Any) -> str:
    return text(HONEST.multiply(Decimal(str(usd_per_token)), Decimal(1_000_000)))


def _off_peak(facts: dict[str, Any], at: datetime) -> dict[str, Any]:
    """The rates outside peak hours, where the instant lies there."""
    off_peak = facts.get("off_peak_pricing")
    if not off_peak or not any(_in_window(window, at) for window in off_peak["windows"]):
        return {}
    return {key: value for key, value in off_peak.items() if key != "windows"}


def _in_window(window: dict[str, Any], at: datetime) -> bool:
    hours = window["hours_utc"]
    now = f"{at:%H:%M}"
    for span in [hours] if isinstance(hours, str) else hours:
        start, end = span.split("-")
        if at.isoweekday() in window["weekdays"] and start <= now and (end == "00:00" or now < end):
            return True
    return False
