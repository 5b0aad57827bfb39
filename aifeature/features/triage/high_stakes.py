"""Rules that find tickets about which a person must decide, besides the judgement of the model.

They read English, German, French and Spanish, the languages of the help desk. A missed ticket costs
more than a harmless one that a person reads, so a rule holds in doubt. Words that only name the
topic of a course do not count, as in "my quiz about legal action".

The words are in `high_stakes.toml`.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any, Final

REFUND_LIMIT: Final = 500
"""Above this amount the billing lead decides about a refund (handbook, `refund-request`).

An amount in another currency counts as it is written, so that no exchange rate decides.
"""

NEAR: Final = 300
"""Most characters between the words for a refund and its amount."""


class Stake(StrEnum):
    """Reasons for a decision by a person. The values are sentences for that person."""

    REFUND = "Asks for a refund above 500 dollars."
    DELETION = "Asks to delete an account, a workspace or personal data."
    LEGAL = "Threatens legal steps, or comes from a lawyer, a court or an authority."
    SELF_HARM = "A person may be in danger."
    SECURITY = "Reports a security problem."


def find(text: str) -> list[Stake]:
    """Return what is at stake in a ticket.

    >>> find("Please delete my account.") == [Stake.DELETION]
    True
    """
    plain = _plain(text)
    return [stake for stake, rule in _rules().items() if rule.holds(plain)]


@dataclass(frozen=True, slots=True)
class _Rule:
    exceptions: re.Pattern[str]
    phrases: re.Pattern[str]
    topics: re.Pattern[str]
    titles: _Titles
    needs_large_amount: bool

    def holds(self, text: str) -> bool:
        left = self.exceptions.sub(". ", text)
        if self.needs_large_amount:
            return _stands_near(left, self.phrases)
        if self.phrases.search(left):
            return True
        return not all(self.titles.hold(left, match) for match in self.topics.finditer(left))


@dataclass(frozen=True, slots=True)
class _Titles:
    """Finds words that are a title, or the topic of a course."""

    before: re.Pattern[str]
    after: re.Pattern[str]

    def hold(self, text: str, match: re.Match[str]) -> bool:
        before = text[max(0, match.start() - _AROUND) : match.start()]
        after = text[match.end() : match.end() + _AROUND]
        return bool(self.before.search(before) or self.after.search(after) or _QUOTE.search(before))


_AROUND: Final = 80
_QUOTE: Final = re.compile(
    r"(?:[\"\u201c\u201e\u00ab]|(?:^|[\s(])')[^\"\u201c\u201d\u00bb'\n]{0,60}$"
)
"""The beginning of a quotation."""


@cache
def _rules() -> Mapping[Stake, _Rule]:
    file = resources.files("aifeature.features.triage") / "high_stakes.toml"
    lists: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    words = {_plain(name): _plain(options) for name, options in lists["words"].items()}
    course = rf"(?:{words['course']})(?:e?s|en|n)?\b"
    titles = _Titles(
        before=re.compile(rf"\b{course}[^.!?\n]{{0,60}}$"),
        after=re.compile(rf"^[\w-]{{0,12}}[^\w.!?\n]{{1,2}}(?:[\w-]+ )?{course}"),
    )
    rules = {}
    for stake in Stake:
        kinds = lists[stake.name.lower()]
        rules[stake] = _Rule(
            exceptions=_pattern(kinds.get("except", ""), words),
            phrases=_pattern(kinds["phrases"], words),
            topics=_pattern(kinds.get("topics", ""), words),
            titles=titles,
            needs_large_amount=stake is Stake.REFUND,
        )
    return rules


_NOTHING: Final = r"(?!)"
_GAP: Final = r"(?:[^.!?\n]|\.(?=\d)){0,40}"
"""Up to 40 characters of one sentence. A full stop within a number does not end it."""


def _pattern(lines: str, words: Mapping[str, str]) -> re.Pattern[str]:
    """Return a pattern that matches any of the phrases. `high_stakes.toml` describes them."""
    phrases = [_plain(line) for line in lines.splitlines() if line.strip()]
    found = "|".join(rf"\b(?:{_regex(phrase, words)})(?!\w)" for phrase in phrases)
    return re.compile(found or _NOTHING)


def _regex(phrase: str, words: Mapping[str, str]) -> str:
    while "<" in phrase:
        phrase = re.sub(r"<([^>]+)>", lambda name: f"({words[name[1]]})", phrase)
    phrase = re.sub(r"\[([^]]*[^] ])\] ", r"[\1 ]", phrase)  # the space goes with the words
    phrase = phrase.replace(" ... ", "\0").replace(".", r"\.").replace("*", r"\w*")
    phrase = re.sub(r"\[([^]]*) \]", r"(?:(?:\1) )?", phrase.replace("(", "(?:"))
    return phrase.replace("\0", _GAP + r"\b").replace(" ", "[ -]")


_SIGNS: Final = {"$": "usd", "\u20ac": "eur", "\u00a3": "gbp"}


def _plain(text: str) -> str:
    """Return the text in lower case, without accents, umlauts and invisible characters.

    A paragraph becomes one line, since e-mail programs break lines anywhere. Customers leave out
    accents, and an attacker may add invisible characters.
    """
    split = unicodedata.normalize("NFKD", text.casefold())
    seen = "".join(c for c in split if unicodedata.category(c) not in {"Mn", "Cf"})
    seen = re.sub("[\u2019\u02bc]", "'", re.sub("[\u2010\u2011]", "-", seen))
    seen = re.sub(r"([aou])e", r"\1", seen)  # "loeschen" for "löschen"
    for sign, name in _SIGNS.items():
        seen = seen.replace(sign, f" {name} ")
    return "\n".join(" ".join(lines.split()) for lines in re.split(r"\n\s*\n", seen))


_CURRENCY: Final = (
    r"(?:usd|eur|gbp|chf|(?:us-)?dollars?|dolar(?:es)?|euros?|pounds?"
    r"|libras?|franken|francs?)"
)
_NUMBER: Final = r"\d{1,3}(?:[ .,']\d{3})+(?:[.,]\d{1,2})?|\d{1,9}(?:[.,]\d{1,2})?"
_AMOUNT: Final = re.compile(
    rf"(?<![\d.,])(?:{_CURRENCY} ?(?P<after>{_NUMBER})|(?P<before>{_NUMBER}) ?{_CURRENCY})"
    r"(?![a-z\d])"
)
_LARGE_PLAN: Final = re.compile(
    # By the price list, a year of the School plan and every Enterprise contract cost more.
    r"\benterprise\b"
    r"|\bschool\b[^.!?\n]{0,40}\b(?:year|annual|jahr|annul|anual|ano\b)"
    r"|\b(?:year|annual|jahr|annul|anual)[^.!?\n]{0,40}\bschool\b"
)


def _stands_near(text: str, wanted: re.Pattern[str]) -> bool:
    """Return whether a large amount stands near the wanted words."""
    large = [*_large_amounts(text), *(match.span() for match in _LARGE_PLAN.finditer(text))]
    return any(
        start - NEAR <= last and first <= end + NEAR
        for start, end in (match.span() for match in wanted.finditer(text))
        for first, last in large
    )


def _large_amounts(text: str) -> Iterator[tuple[int, int]]:
    for match in _AMOUNT.finditer(text):
        if _value(match["after"] or match["before"]) > REFUND_LIMIT:
            yield match.span()


def _value(number: str) -> float:
    """Return the value of a number such as `1,200.50`, `1.200,50`, `1 200` or `1200`."""
    has_cents = re.search(r"[.,]\d{1,2}$", number)
    whole = number[: has_cents.start()] if has_cents else number
    cents = has_cents[0][1:] if has_cents else "0"
    return float(f"{re.sub(r'[^0-9]', '', whole)}.{cents}")
