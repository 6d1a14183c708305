"""The largest answer of each model, where litellm knows it."""

from price_catalog import pricer
from price_catalog.catalog_file import Catalog
from price_catalog.litellm import Entry

# litellm gives embeddings and the like a limit that is no limit of output.
MODES_WITH_OUTPUT = frozenset({"chat", "completion", "responses"})
SMALLEST_SENSIBLE = 256
# Where it knows none, litellm often has the whole context, which is no limit of an answer.
LARGEST_OF_WHOLE_CONTEXT = 8192


def add(catalog: Catalog, entries: tuple[Entry, ...]) -> None:
    """Gives a model without a limit that of litellm's entry of its name, else the smallest of all its ids."""
    exact: dict[tuple[str, str], int] = {}
    smallest: dict[tuple[str, str], int] = {}
    for entry in entries:
        limit = _sensible(entry)
        if limit is None:
            continue
        found = pricer.find(catalog, catalog.provider(entry.provider), entry.model)
        if found is None or found.through_fallback:
            continue
        key = (found.provider.name, found.model.name)
        smallest[key] = min(limit, smallest.get(key, limit))
        if entry.model.lower() == found.model.name.lower():
            exact[key] = min(limit, exact.get(key, limit))
    for provider in catalog.providers:
        for model in provider.models:
            key = (provider.name, model.name)
            if model.max_output_tokens is None:
                model.max_output_tokens = exact.get(key, smallest.get(key))


def _sensible(entry: Entry) -> int | None:
    limit, context = entry.facts.get("max_output_tokens"), entry.facts.get("max_input_tokens")
    if entry.facts.get("mode") not in MODES_WITH_OUTPUT or not isinstance(limit, int) or limit < SMALLEST_SENSIBLE:
        return None
    if isinstance(context, int) and limit >= context and limit > LARGEST_OF_WHOLE_CONTEXT:
        return None
    return limit
