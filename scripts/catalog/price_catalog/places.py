"""Where the files of the catalog are."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[3] / "domain" / "catalog"
FILE = FOLDER / "catalog.jsonl"
SETTINGS = FOLDER / "catalog.toml"
DECISIONS = FOLDER / "decisions.csv"
