"""Makes the catalog: upstream's prices, then our corrections, then limits of output."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from price_catalog import corrections, identities, limits, litellm, settings, upstream
from price_catalog.catalog_file import Catalog
from price_catalog.corrections import Correction
from price_catalog.errors import CatalogError


class Undecided(CatalogError):
    """Models without a price that no correction explains."""


def catalog(folder: Path, committed: Catalog | None, cleaned: Callable[[str, Decimal, Decimal], None]) -> Catalog:
    """The catalog that the folder's settings and corrections and the installed upstream give."""
    about = settings.read(folder / "catalog.toml")
    made = Catalog(
        version=about.version,
        sources=[upstream.source(), litellm.source()],
        default_max_output_tokens=about.default_max_output_tokens,
        providers=upstream.providers(cleaned),
    )
    rows = corrections.load(folder / "corrections")
    corrections.apply(made, rows)
    limits.add(made, litellm.entries())
    _refuse_undecided(made, rows)
    identities.revise(made, committed)
    return made


def _refuse_undecided(made: Catalog, rows: list[Correction]) -> None:
    decided = {(row.provider, name) for row in rows if row.action == "leave unpriced" for name in row.details["models"]}
    found = [
        f"{provider.name}/{model.name}"
        for provider in made.providers
        for model in provider.models
        if not model.prices and (provider.name, model.name) not in decided
    ]
    if found:
        raise Undecided(f"say in the corrections whether these are free or unpriced: {', '.join(found)}")
