"""Upstream's price keys, written as cost lines of the catalog."""

from collections.abc import Callable, Iterator
from decimal import Decimal

from genai_prices import types as upstream

from price_catalog.decimals import text, without_float_noise
from price_catalog.errors import CatalogError
from price_catalog.lines import Rate, Rates, in_order

TOKEN_KEYS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_5m_mtok": "cache_write_300s",
    "cache_write_1h_mtok": "cache_write_3600s",
    "input_audio_mtok": "audio_in",
    "input_image_mtok": "image_in",
    "input_video_mtok": "video_in",
    "cache_audio_read_mtok": "cache_read_audio",
    "cache_image_read_mtok": "cache_read_image",
    "cache_video_read_mtok": "cache_read_video",
    "input_tool_mtok": "tool_in",
    "output_reasoning_mtok": "reasoning",
    "output_audio_mtok": "audio_out",
    "output_image_mtok": "image_out",
    "output_video_mtok": "video_out",
    "output_citation_mtok": "citation",
}

# Line and how many units the price is for.
UNIT_KEYS = {
    "web_searches_kcount": ("web_search", 1000),
    "social_searches_kcount": ("social_search", 1000),
    "storage_searches_kcount": ("storage_search", 1000),
    "code_executions_kcount": ("code_execution", 1000),
    "requests_kcount": ("request", 1000),
    "input_mchars": ("character", 1_000_000),
    "input_text_messages_kcount": ("text_message", 1000),
    "audio_hours": ("audio_second", 3600),
    "input_audio_hours": ("audio_second_in", 3600),
    "output_audio_hours": ("audio_second_out", 3600),
    "input_document_kpages": ("page", 1000),
    "input_annotated_document_kpages": ("page_annotated", 1000),
    "rerank_searches_kcount": ("rerank_search", 1000),
    "input_gpixels": ("pixel", 1_000_000_000),
}

Noise = Callable[[str, Decimal, Decimal], None]


class UnknownPriceKey(CatalogError):
    """Upstream prices something that has no cost line yet: add it here."""


def rates(prices: upstream.ModelPrice, noise: Noise) -> Rates:
    """All rates of one price; `noise` hears of every figure that was cleaned."""
    found = dict(_lines(prices, noise))
    return in_order(found)


def _lines(prices: upstream.ModelPrice, noise: Noise) -> Iterator[tuple[str, Rate]]:
    for key, price in prices.__dict__.items():
        if price is None:
            continue

        def figure(value: Decimal, key: str = key) -> str:
            cleaned = without_float_noise(value)
            if cleaned != value:
                noise(key, value, cleaned)
            return text(cleaned)

        if key in TOKEN_KEYS:
            yield TOKEN_KEYS[key], _rate(price, figure)
        elif key in UNIT_KEYS:
            line, per = UNIT_KEYS[key]
            rate = _rate(price, figure)
            yield line, {**(rate if isinstance(rate, dict) else {"usd": rate}), "per": per}
        else:
            raise UnknownPriceKey(f"no cost line for the price key {key!r}")


def _rate(price: Decimal | upstream.TieredPrices, figure: Callable[[Decimal], str]) -> Rate:
    if isinstance(price, Decimal):
        return figure(price)
    return {
        "usd": figure(price.base),
        "tiers": [{"above": tier.start, "usd": figure(tier.price)} for tier in price.tiers],
    }
