"""Writes the catalog from upstream's prices."""

from collections import Counter
from decimal import Decimal
from pathlib import Path

from price_catalog import catalog_file, upstream
from price_catalog.catalog_file import Catalog

HERE = Path(__file__).resolve().parents[3] / "domain" / "catalog"
FILE = HERE / "catalog.jsonl"


def catalog(noise) -> Catalog:
    return Catalog("2026-11-22", [upstream.source()], 8192, upstream.providers(noise))


def main() -> None:
    cleaned: list[str] = []
    made = catalog(lambda name, old, new: cleaned.append(f"{name}: {old} is {new}"))
    ids = Counter(price["id"] for p in made.providers for m in p.models for price in m.prices)
    print([i for i, n in ids.items() if n > 1])
    print("\n".join(cleaned))
    FILE.write_text(catalog_file.text(made), encoding="utf-8")


if __name__ == "__main__":
    main()
