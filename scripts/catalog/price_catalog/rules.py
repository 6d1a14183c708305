"""Upstream's rules on names, written as rules of the catalog."""

import re
from typing import Any

from genai_prices import types as upstream

from price_catalog.catalog_file import Rule
from price_catalog.errors import CatalogError

DATE_SUFFIXES = (r"-\d{8}", r"[-@]\d{8}", r"-\d{4}-\d{2}-\d{2}")

# Regular expressions with no general shape, each translated by hand.
MISTRAL_FAMILIES = (
    "mistral",
    "codestral",
    "devstral",
    "magistral",
    "ministral",
    "mixtral",
    "pixtral",
    "voxtral",
    "open-mistral",
    "open-mixtral",
)
TRANSLATED: dict[str, Rule] = {
    # A slash after the first character means somebody else's name for the model.
    r"^(?![^/]+/)(?:labs-)?(?:(?:mi|code|dev|magi|mini)stral|mixtral|pixtral|voxtral|open-(?:mistral|mixtral))": {
        "all": [
            {"not": {"contains": "/"}},
            {"any": [{"prefix": lab + family} for lab in ("", "labs-") for family in MISTRAL_FAMILIES]},
        ]
    },
    r"^(?!.*-[tT][tT][sS](?:$|-))": {"not": {"any": [{"suffix": "-tts"}, {"contains": "-tts-"}]}},
    r"^o[134]": {"any": [{"prefix": "o1"}, {"prefix": "o3"}, {"prefix": "o4"}]},
    r"^(typesafe/)?jev-1\.13(-\d{8})?$": {
        "any": [
            {"equals": "jev-1.13"},
            {"dated": "jev-1.13"},
            {"equals": "typesafe/jev-1.13"},
            {"dated": "typesafe/jev-1.13"},
        ]
    },
    r"^(typesafe/)?jev-1\.14(-\d{8})?$": {
        "any": [
            {"equals": "jev-1.14"},
            {"dated": "jev-1.14"},
            {"equals": "typesafe/jev-1.14"},
            {"dated": "typesafe/jev-1.14"},
        ]
    },
}


class UnknownRule(CatalogError):
    """Upstream uses a rule that has no translation yet: add it here."""


def rules(clause: Any) -> list[Rule]:
    """A clause as a list of rules of which any may match."""
    rule = _rule(clause)
    if set(rule) == {"any"}:
        return _distinct(rule["any"])
    return [rule]


def _rule(clause: Any) -> Rule:
    match clause:
        case upstream.ClauseEquals(equals=value):
            return {"equals": value.lower()}
        case upstream.ClauseStartsWith(starts_with=value):
            return {"prefix": value.lower()}
        case upstream.ClauseEndsWith(ends_with=value):
            return {"suffix": value.lower()}
        case upstream.ClauseContains(contains=value):
            return {"contains": value.lower()}
        case upstream.ClauseRegex(regex=pattern):
            return _regex(pattern)
        case upstream.ClauseOr(or_=parts):
            return {"any": _distinct([rule for part in parts for rule in rules(part)])}
        case upstream.ClauseAnd(and_=parts):
            return {"all": _distinct([_rule(part) for part in parts])}
    raise UnknownRule(f"no translation for the clause {clause!r}")


def _regex(pattern: str) -> Rule:
    if pattern in TRANSLATED:
        return TRANSLATED[pattern]
    if pattern.startswith("^") and pattern.endswith("$"):
        body = pattern[1:-1]
        for suffix in DATE_SUFFIXES:
            if body.endswith(suffix):
                return {"dated": _literal(body.removesuffix(suffix), pattern)}
        return {"equals": _literal(body, pattern)}
    if pattern.startswith("^") and pattern.endswith(r"\d"):
        return {"digit_after": _literal(pattern[1:].removesuffix(r"\d"), pattern)}
    raise UnknownRule(f"no translation for the regular expression {pattern!r}")


def _literal(escaped: str, pattern: str) -> str:
    """The text that an expression without operators stands for."""
    literal = re.sub(r"\\([.\[\]-])", r"\1", escaped)
    if re.search(r"[\\^$*+?(){}|]", literal) or re.search(r"(?<!\\)[\[\].]", escaped):
        raise UnknownRule(f"no translation for the regular expression {pattern!r}")
    return literal.lower()


def _distinct(found: list[Rule]) -> list[Rule]:
    return [rule for index, rule in enumerate(found) if rule not in found[:index]]
