"""The decided differences between litellm and us, each bound to the two figures that it was decided on."""

import csv
from dataclasses import dataclass
from pathlib import Path

from price_catalog.comparison import Difference
from price_catalog.errors import CatalogError

COLUMNS = ("provider", "model", "line", "ours", "litellm", "verdict", "reason")
VERDICTS = ("ours", "litellm", "same", "both", "unclear", "neither")


class BadDecision(CatalogError):
    """A decision that cannot be read."""


@dataclass(frozen=True)
class Decision:
    """Who is right about one figure, and why."""

    difference: Difference
    verdict: str
    reason: str


def read(path: Path) -> list[Decision]:
    """All decisions of a file."""
    if not path.exists():
        return []
    found: list[Decision] = []
    with path.open(newline="", encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            difference = Difference(row["provider"], row["model"], row["line"], row["ours"], row["litellm"])
            if row["verdict"] not in VERDICTS or not row["reason"]:
                raise BadDecision(f"{difference}: give one of the verdicts {', '.join(VERDICTS)}, and a reason")
            found.append(Decision(difference, row["verdict"], row["reason"]))
    return found


def write(path: Path, decisions: list[Decision]) -> None:
    """Writes decisions, in the order of provider, model and line."""
    with path.open("w", newline="", encoding="utf-8") as rows:
        lines = csv.writer(rows, lineterminator="\n")
        lines.writerow(COLUMNS)
        for decision in sorted(
            decisions, key=lambda each: (each.difference.provider, each.difference.model, each.difference.line)
        ):
            each = decision.difference
            lines.writerow(
                (each.provider, each.model, each.line, each.ours, each.litellms, decision.verdict, decision.reason)
            )
