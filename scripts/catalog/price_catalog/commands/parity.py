"""`scripts/catalog/parity`: see there."""

import argparse
import sys

from price_catalog import catalog_file, corrections, parity
from price_catalog.places import FILE, FOLDER

SHOWN = 40


def main() -> int:
    """Compares and says which correction explains what."""
    arguments = argparse.ArgumentParser(prog="scripts/catalog/parity")
    arguments.add_argument("--seed", type=int, default=1, help="another seed, other samples")
    arguments.add_argument("--brief", action="store_true", help="leave out what the corrections explain")
    options = arguments.parse_args()

    outcome = parity.compare(catalog_file.read(FILE), corrections.load(FOLDER / "corrections"), options.seed)
    for reason, count in [] if options.brief else sorted(outcome.explained.items()):
        print(f"{reason}: {count}, such as {outcome.examples[reason]}")
    for line in outcome.unexplained[:SHOWN]:
        print(f"unexplained: {line}")
    print(
        f"{outcome.compared} calls priced both ways: {outcome.equal} alike, "
        f"{outcome.compared - outcome.equal - len(outcome.unexplained)} explained by corrections, "
        f"{len(outcome.unexplained)} unexplained"
    )
    return 1 if outcome.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
