"""All of upstream's providers, written as providers of the catalog."""

from importlib.metadata import version

from genai_prices import types as upstream
from genai_prices.data import providers as upstream_providers

from price_catalog.catalog_file import Model, Price, Provider
from price_catalog.prices import prices
from price_catalog.rates import Noise
from price_catalog.rules import rules

# Groq bills a shorter recording as one of ten seconds; upstream has this in its code, not in its data.
GROQ_SHORTEST_RECORDING_SECONDS = "10"


def source() -> str:
    """Name and version of what was converted."""
    return f"genai-prices {version('genai-prices')}"


def providers(noise: Noise) -> list[Provider]:
    """Every provider of upstream, in upstream's order."""
    return [_provider(each, noise) for each in upstream_providers]


def _provider(each: upstream.Provider, noise: Noise) -> Provider:
    return Provider(
        name=each.id,
        aliases=rules(each.provider_match) if each.provider_match else [],
        owns=rules(each.model_match) if each.model_match else [],
        fallback=list(each.fallback_model_providers or []),
        models=[_model(each.id, model, noise) for model in each.models],
    )


def _model(provider: str, model: upstream.ModelInfo, noise: Noise) -> Model:
    found = prices(provider, model, noise)
    if provider == "groq" and model.id.startswith("whisper-"):
        for price in found:
            _with_minimum(price)
    return Model(model.id, rules(model.match), found)


def _with_minimum(price: Price) -> None:
    for line in ("audio_second", "audio_second_in"):
        price["rates"][line]["minimum"] = GROQ_SHORTEST_RECORDING_SECONDS
