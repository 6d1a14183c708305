"""`scripts/catalog/convert`: see there."""

import argparse
import sys
from collections.abc import Iterator
from decimal import Decimal

from price_catalog import catalog_file, changes, convert, settings
from price_catalog.catalog_file import Catalog
from price_catalog.errors import CatalogError
from price_catalog.places import FILE, FOLDER, SETTINGS

DIFFERENT = 1
FAILED = 2


def main() -> int:
    """Converts and writes, or only compares."""
    arguments = argparse.ArgumentParser(prog="scripts/catalog/convert")
    arguments.add_argument("--check", action="store_true", help="write nothing; fail if the committed file differs")
    arguments.add_argument("--cleaned", action="store_true", help="list the figures that were freed of float noise")
    options = arguments.parse_args()

    cleaned: list[str] = []

    def note(name: str, old: Decimal, new: Decimal) -> None:
        cleaned.append(f"{name}: {old} is taken for {new}")

    committed = catalog_file.read(FILE) if FILE.exists() else None
    try:
        made = convert.catalog(FOLDER, committed, note)
    except CatalogError as error:
        print(f"no catalog: {error}", file=sys.stderr)
        return FAILED
    text = catalog_file.text(made)
    same = FILE.exists() and FILE.read_text(encoding="utf-8") == text
    print("\n".join(_report(made, committed, cleaned if options.cleaned else [], len(cleaned))))
    if options.check and not same:
        print("domain/catalog/catalog.jsonl is not what the conversion gives: run scripts/catalog/convert")
        return DIFFERENT
    if not same:
        if committed and committed.version == made.version:
            made.version = settings.raise_version(SETTINGS)
            print(f"the catalog is now version {made.version}")
            text = catalog_file.text(made)
        FILE.write_text(text, encoding="utf-8")
    return 0


def _report(made: Catalog, committed: Catalog | None, cleaned: list[str], noisy: int) -> Iterator[str]:
    yield from cleaned
    yield from changes.describe(committed, made) if committed else ["no committed file to compare with"]
    models = [model for provider in made.providers for model in provider.models]
    prices = [price for model in models for price in model.prices]
    ours = sum("reason" in price for price in prices)
    yield (
        f"{len(made.providers)} providers, {len(models)} models, {len(prices)} prices, {ours} from corrections; "
        f"{noisy} figures freed of float noise"
    )


if __name__ == "__main__":
    sys.exit(main())
