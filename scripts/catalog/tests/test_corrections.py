"""Corrections that cannot be applied are refused, and a changed figure is a new disagreement."""

import unittest

from price_catalog import corrections
from price_catalog.catalog_file import Catalog, Model, Provider
from price_catalog.comparison import Difference
from price_catalog.corrections import BadCorrection, Correction


def catalog() -> Catalog:
    """A catalog of one model."""
    return Catalog(
        "v", [], 1, [Provider("p", models=[Model("m", [], [{"id": "p/m", "rates": {"input": "1", "output": "2"}}])])]
    )


def correction(action: str, **details: object) -> Correction:
    """A correction of that model."""
    return Correction("c", "p", action, "https://example.org", "because", "2026-01-01", {"models": ["m"], **details})


class Corrections(unittest.TestCase):
    """The actions."""

    def test_rates_are_set_and_signed(self) -> None:
        made = catalog()
        corrections.apply(made, [correction("set rates", rates={"cache_read": "0.1"})])
        price = made.providers[0].models[0].prices[0]
        self.assertEqual(list(price["rates"].items()), [("input", "1"), ("output", "2"), ("cache_read", "0.1")])
        self.assertEqual((price["id"], price["source"], price["reason"]), ("p/m", "https://example.org", "because"))

    def test_a_price_before_upstreams_gives_upstreams_a_start(self) -> None:
        made = catalog()
        corrections.apply(
            made,
            [
                correction(
                    "change prices",
                    place="first",
                    upstream_from="2025-01-01T00:00:00Z",
                    prices=[{"rates": {"input": "9"}}],
                ),
            ],
        )
        self.assertEqual([price["id"] for price in made.providers[0].models[0].prices], ["p/m", "p/m@2025-01-01"])

    def test_what_changes_nothing_is_refused(self) -> None:
        for stale in (
            correction("set rates", rates={"input": "1"}),
            correction("free"),
            correction("leave unpriced"),
            correction("add models", models=[{"name": "m", "match": []}]),
            correction("set rates", models=["unknown"], rates={}),
            correction("dance"),
        ):
            with self.subTest(action=stale.action), self.assertRaises(BadCorrection):
                corrections.apply(catalog(), [stale])


class Differences(unittest.TestCase):
    """Decisions are bound to their figures."""

    def test_another_figure_is_another_difference(self) -> None:
        self.assertNotEqual(Difference("p", "m", "input", "1", "2"), Difference("p", "m", "input", "1", "3"))
