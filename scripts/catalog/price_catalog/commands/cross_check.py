"""`scripts/catalog/cross_check`: see there."""

import argparse
import sys
from collections import Counter

from price_catalog import catalog_file, comparison, decisions, litellm
from price_catalog.comparison import Difference
from price_catalog.errors import CatalogError
from price_catalog.places import DECISIONS, FILE


def main() -> int:
    """Compares, and fails on a difference that nobody decided."""
    arguments = argparse.ArgumentParser(prog="scripts/catalog/cross_check")
    arguments.add_argument(
        "--drop-stale", action="store_true", help="take decisions that fit no difference out of the file"
    )
    options = arguments.parse_args()

    pairs, found = comparison.differences(catalog_file.read(FILE), litellm.entries())
    try:
        decided = decisions.read(DECISIONS)
    except CatalogError as error:
        print(f"no comparison: {error}", file=sys.stderr)
        return 1
    known = {decision.difference for decision in decided}
    undecided = [difference for difference in found if difference not in known]
    stale = [decision for decision in decided if decision.difference not in set(found)]

    if options.drop_stale and stale:
        decisions.write(DECISIONS, [decision for decision in decided if decision not in stale])
    for decision in stale:
        print(f"stale: {_line(decision.difference)} ({decision.verdict}: {decision.reason})")
    for difference in undecided:
        print(f"undecided: {_line(difference)}")
    kept = len(decided) - len(stale)
    verdicts = Counter(decision.verdict for decision in decided if decision not in stale)
    print(
        f"{pairs} ids that litellm knows too, {len(found)} differences, {len(undecided)} undecided; "
        f"{kept} decisions ({', '.join(f'{count} {verdict}' for verdict, count in sorted(verdicts.items()))}), "
        f"{len(stale)} stale"
    )
    if undecided:
        print("decide each in domain/catalog/decisions.csv, or correct the price in domain/catalog/corrections")
    return 1 if undecided else 0


def _line(difference: Difference) -> str:
    return (
        f"{difference.provider} {difference.model} {difference.line}: "
        f"ours {difference.ours or 'none'}, litellm's {difference.litellms or 'none'}"
    )


if __name__ == "__main__":
    sys.exit(main())
