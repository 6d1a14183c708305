"""What every line of the committed catalog keeps."""

import json
import re
import unittest
from typing import Any

from price_catalog.lines import POSITIONS
from price_catalog.places import FILE

AMOUNT = re.compile(r"0|(0|[1-9]\d*)(\.\d*[1-9])?")
KEYS = ["id", "from", "until", "daily", "tier", "region", "rates", "multiplier", "source", "reason"]


class Lines(unittest.TestCase):
    """The format."""

    def test_every_price_is_well_formed(self) -> None:
        names: set[str] = set()
        for model in self._models():
            prices = model["prices"]
            standard = [price for price in prices if "tier" not in price and "region" not in price]
            if prices:
                self.assertFalse({"from", "until", "daily"} & set(standard[0]), model["model"])
            for price in prices:
                with self.subTest(price=price["id"]):
                    self.assertNotIn(price["id"], names)
                    names.add(price["id"])
                    self.assertEqual(list(price), [key for key in KEYS if key in price])
                    self.assertTrue(price["id"].startswith(f"{model['provider']}/{model['model']}"))
                    self.assertEqual("source" in price, "reason" in price)
                    self.assertTrue(price.get("rates") or ("multiplier" in price and price not in standard))
                    self._rates(price.get("rates", {}))

    def test_texts_of_rules_are_in_lower_case(self) -> None:
        for line in self._lines():
            rules = json.dumps([line.get(key, []) for key in ("match", "aliases", "owns")])
            self.assertEqual(rules, rules.lower())

    def _rates(self, rates: dict[str, Any]) -> None:
        self.assertEqual(list(rates), sorted(rates, key=lambda line: POSITIONS[line]))
        for rate in rates.values():
            parts: dict[str, Any] = rate if isinstance(rate, dict) else {"usd": rate}
            tiers = parts.get("tiers", [])
            for amount in [parts["usd"], *(tier["usd"] for tier in tiers)]:
                self.assertRegex(str(amount), f"^{AMOUNT.pattern}$")
            steps = [tier["above"] for tier in tiers]
            self.assertEqual(steps, sorted(set(steps)))

    def _models(self) -> list[dict[str, Any]]:
        return [line for line in self._lines() if "model" in line]

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
