"""Figures, names of prices and versions."""

import unittest
from datetime import date
from decimal import Decimal

from price_catalog.catalog_file import Catalog, Model, Price, Provider
from price_catalog.decimals import text, without_float_noise
from price_catalog.identities import DuplicateIdentity, identity, revise
from price_catalog.settings import next_version


def catalog(*prices: Price) -> Catalog:
    """A catalog of one model."""
    return Catalog("2026-01-01", [], 1, [Provider("p", models=[Model("m", [], list(prices))])])


class Figures(unittest.TestCase):
    """Decimals."""

    def test_plain_notation(self) -> None:
        for value, expected in (("2.50", "2.5"), ("1E+1", "10"), ("0.000", "0"), ("1E-7", "0.0000001"), ("100", "100")):
            self.assertEqual(text(Decimal(value)), expected)

    def test_float_noise_goes_and_honest_digits_stay(self) -> None:
        for value, expected in (
            ("0.18000000000000002", "0.18"),
            ("0.13999999999999999", "0.14"),
            ("0.08333333333333334", "0.0833333333333"),
            ("0.00362543", "0.00362543"),
        ):
            self.assertEqual(without_float_noise(Decimal(value)), Decimal(expected))


class Names(unittest.TestCase):
    """Identities of prices."""

    def test_a_name_says_what_makes_the_price_apply(self) -> None:
        price = {
            "from": "2026-01-01T00:00:00Z",
            "daily": {"from": "01:00", "to": "04:00"},
            "tier": "batch",
            "region": "eu",
        }
        self.assertEqual(identity("p/m", price), "p/m@2026-01-01#daily=0100-0400#batch#region=eu")
        self.assertEqual(identity("p/m", {"from": "2026-01-01T16:00:00Z"}), "p/m@2026-01-01T16:00:00Z")

    def test_other_figures_never_have_an_old_name(self) -> None:
        committed = catalog({"id": "p/m", "rates": {"input": "1"}})
        for figure, expected in (("1", "p/m"), ("2", "p/m~2"), ("2", "p/m~2"), ("1", "p/m~3")):
            made = catalog({"id": "p/m", "rates": {"input": figure}})
            revise(made, committed)
            self.assertEqual(made.providers[0].models[0].prices[0]["id"], expected)
            committed = made

    def test_two_prices_of_one_name_are_refused(self) -> None:
        with self.assertRaises(DuplicateIdentity):
            revise(catalog({"id": "p/m", "rates": {}}, {"id": "p/m", "rates": {}}), None)

    def test_versions_of_one_day_are_counted(self) -> None:
        day = date(2026, 11, 22)
        for version, expected in (
            ("2026-11-21", "2026-11-22"),
            ("2026-11-22", "2026-11-22.2"),
            ("2026-11-22.9", "2026-11-22.10"),
        ):
            self.assertEqual(next_version(version, day), expected)
