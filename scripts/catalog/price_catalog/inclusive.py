"""Usage as upstream counts it: totals that include their parts."""

from decimal import Decimal

from price_catalog.lines import TOKEN_LINES
from price_catalog.pricer import OUTPUT_LINES, Usage, is_tokens

# Upstream's count and the lines of which it is the sum.
COUNTS: dict[str, tuple[str, ...]] = {
    "input_tokens": tuple(line for line in TOKEN_LINES if line not in OUTPUT_LINES),
    "output_tokens": tuple(line for line in TOKEN_LINES if line in OUTPUT_LINES),
    "cache_read_tokens": ("cache_read", "cache_read_audio", "cache_read_image", "cache_read_video"),
    "cache_write_tokens": ("cache_write", "cache_write_300s", "cache_write_3600s"),
    "cache_write_5m_tokens": ("cache_write_300s",),
    "cache_write_1h_tokens": ("cache_write_3600s",),
    "input_audio_tokens": ("audio_in", "cache_read_audio"),
    "input_image_tokens": ("image_in", "cache_read_image"),
    "input_video_tokens": ("video_in", "cache_read_video"),
    "cache_audio_read_tokens": ("cache_read_audio",),
    "cache_image_read_tokens": ("cache_read_image",),
    "cache_video_read_tokens": ("cache_read_video",),
    "input_tool_tokens": ("tool_in",),
    "output_reasoning_tokens": ("reasoning",),
    "output_audio_tokens": ("audio_out",),
    "output_image_tokens": ("image_out",),
    "output_video_tokens": ("video_out",),
    "output_citation_tokens": ("citation",),
    "web_searches": ("web_search",),
    "social_searches": ("social_search",),
    "storage_searches": ("storage_search",),
    "code_executions": ("code_execution",),
    "rerank_searches": ("rerank_search",),
    "input_characters": ("character",),
    "input_text_messages": ("text_message",),
    "input_pixels": ("pixel",),
    "audio_seconds": ("audio_second", "audio_second_in", "audio_second_out"),
    "input_audio_seconds": ("audio_second_in",),
    "output_audio_seconds": ("audio_second_out",),
    "input_document_pages": ("page", "page_annotated"),
    "input_annotated_document_pages": ("page_annotated",),
}


def inclusive(usage: Usage) -> dict[str, Decimal]:
    """The same usage in upstream's counts."""
    unknown = [line for line in usage if is_tokens(line) and line not in TOKEN_LINES]
    if unknown:
        raise ValueError(f"upstream has no count for {', '.join(unknown)}")
    return {count: sum((usage.get(line, Decimal(0)) for line in lines), Decimal(0)) for count, lines in COUNTS.items()}
