"""Names of prices: readable, unique in the file, and never used for other figures."""

from collections import Counter

from price_catalog.catalog_file import Catalog, Price
from price_catalog.errors import CatalogError

# Between the name of a price and the number of its revision, where upstream changed the figures of a name.
REVISION = "~"


class DuplicateIdentity(CatalogError):
    """Two prices would have the same name."""


def identity(name: str, price: Price) -> str:
    """The name of a price: model, then what makes it apply."""
    parts = [name]
    if "from" in price:
        parts.append("@" + price["from"].removesuffix("T00:00:00Z"))
    if "daily" in price:
        span = price["daily"]
        parts.append(f"#daily={span['from']}-{span['to']}".replace(":", ""))
    if "tier" in price:
        parts.append(f"#{price['tier']}")
    if "region" in price:
        parts.append(f"#region={price['region']}")
    return "".join(parts)


def revise(made: Catalog, committed: Catalog | None) -> None:
    """Gives a price that has other figures than under its name in the committed file the next revision of that name."""
    known = {base(price["id"]): price for price in _prices(committed)} if committed else {}
    for price in _prices(made):
        before = known.get(price["id"])
        if before is None:
            continue
        if _figures(before) == _figures(price):
            price["id"] = before["id"]
        else:
            price["id"] = f"{price['id']}{REVISION}{_revision(before['id']) + 1}"
    twice = [name for name, count in Counter(price["id"] for price in _prices(made)).items() if count > 1]
    if twice:
        raise DuplicateIdentity(f"several prices are named {', '.join(twice)}")


def base(name: str) -> str:
    """The name without its revision."""
    stem, found, number = name.rpartition(REVISION)
    return stem if found and number.isdigit() else name


def _revision(name: str) -> int:
    return 1 if base(name) == name else int(name.rpartition(REVISION)[2])


def _figures(price: Price) -> tuple[object, object]:
    return price.get("rates"), price.get("multiplier")


def _prices(catalog: Catalog) -> list[Price]:
    return [price for provider in catalog.providers for model in provider.models for price in model.prices]
