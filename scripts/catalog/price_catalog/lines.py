"""The cost lines of the catalog and their order in the file."""

from typing import Any

Rate = str | dict[str, Any]
Rates = dict[str, Rate]

# USD per 1,000,000 tokens.
TOKEN_LINES = (
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_300s",
    "cache_write_3600s",
    "audio_in",
    "image_in",
    "video_in",
    "cache_read_audio",
    "cache_read_image",
    "cache_read_video",
    "tool_in",
    "reasoning",
    "audio_out",
    "image_out",
    "video_out",
    "citation",
)

# USD per unit, or per the number of units that the rate names.
UNIT_LINES = (
    "web_search",
    "social_search",
    "storage_search",
    "code_execution",
    "request",
    "character",
    "text_message",
    "audio_second",
    "audio_second_in",
    "audio_second_out",
    "page",
    "page_annotated",
    "rerank_search",
    "pixel",
)

POSITIONS = {line: index for index, line in enumerate((*TOKEN_LINES, *UNIT_LINES))}


def in_order(rates: Rates) -> Rates:
    """Known lines first, in the order of the format; others behind, by name."""
    return {line: rates[line] for line in sorted(rates, key=lambda line: (POSITIONS.get(line, len(POSITIONS)), line))}
