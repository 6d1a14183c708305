"""What the catalog says of itself, from catalog.toml."""

import re
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Version of the catalog, and the largest answer of a model of which it is not known."""

    version: str
    default_max_output_tokens: int


def read(file: Path) -> Settings:
    """The settings of a file."""
    return Settings(**tomllib.loads(file.read_text(encoding="utf-8")))


def raise_version(file: Path) -> str:
    """Writes the next version into the file and returns it."""
    version = next_version(read(file).version, datetime.now(tz=UTC).date())
    text = re.sub(r"^version = .*$", f'version = "{version}"', file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    file.write_text(text, encoding="utf-8")
    return version


def next_version(version: str, today: date) -> str:
    """The day, and a number behind it from the second version of a day on."""
    day = today.isoformat()
    if day_of(version) != day:
        return day
    number = int(version.removeprefix(day).removeprefix(".") or 1)
    return f"{day}.{number + 1}"


def day_of(version: str) -> str:
    """The day of a version, as YYYY-MM-DD."""
    return version[:10]
