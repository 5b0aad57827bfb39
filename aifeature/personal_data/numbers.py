"""Runs of digit groups, such as `030 / 12 34 56`, with look-alikes taken out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from aifeature.personal_data.kinds import Match
from aifeature.personal_data.views import View

SHORTEST: Final = 6
"""Shorter runs, in characters, hold no personal data."""
MOST_GROUPS: Final = 24
"""Longer runs are cut: no number has more groups."""

_GUID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-z])"
)
_MONTH: Final = "(?:0?[1-9]|1[0-2])"
_DAY: Final = "(?:0?[1-9]|[12][0-9]|3[01])"
_CLOCK: Final = "[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?:[.,][0-9]{1,9})?"
_CURRENCY: Final = [
    "eur", "usd", "gbp", "chf", "inr", "jpy", "cny", "pln", "sek", "nok", "dkk", "rub", "brl",
    "mxn", "zł", "kr", "rs.",
]  # fmt: skip
_UNIT: Final = [
    "euros?", "dollars?", "yen", "kg", "km", "mb", "gb", "tb", "kb", "ms", "bytes?", "kwh",
    "mhz", "ghz", "khz", "px", "inhabitants", "einwohner", "habitants", "habitantes", "abitanti",
]  # fmt: skip
_NUMBER: Final = (
    r"(?:[0-9]{1,3}(?:(?:,[0-9]{3}){1,5}|(?:\.[0-9]{3}){1,5}|(?: [0-9]{3}){1,5}|(?:'[0-9]{3}){1,5})"
    r"|[0-9]{1,2}(?:,[0-9]{2}){1,4},[0-9]{3}|(?!0[0-9])[0-9]{1,9})(?![0-9])(?:[.,][0-9]{1,4}(?![0-9]))?"
)
"""A number of an amount: groups of three, those of India, or fewer than ten digits."""
_LOOK_ALIKE: Final = re.compile(
    "(?<![0-9])(?:"
    # dates, with times
    rf"(?:19|20)[0-9]{{2}}([-/.]){_MONTH}\1{_DAY}(?![0-9]|\1[0-9])"
    rf"(?:[t ]{_CLOCK}(?:z|[+-][0-9]{{2}}:?[0-9]{{2}})?)?"
    rf"|(?<![0-9][./-]){_DAY}([-/.])(?:0?[1-9]|[12][0-9]|3[01])\2(?:19|20)?[0-9]{{2}}(?![0-9]|[./-][0-9])"
    rf"|(?:19|20)[0-9]{{2}}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?![0-9]|[-+][0-9])"
    rf"|{_DAY}\. ?{_MONTH}\. ?(?:19|20)[0-9]{{2}}(?![0-9])"
    rf"|(?<!:){_CLOCK}(?![0-9:])"
    # decimal fractions such as coordinates
    r"|(?<![.,])(?!0[0-9])[0-9]{1,3}\.[0-9]{4,15}(?![0-9]|[ .-]?[0-9])"
    # amounts: thousands with decimals, or before a currency or a unit
    r"|(?<![.,])[0-9]{1,3}(?:([., '])[0-9]{3})(?:\3[0-9]{3}){0,5}[.,][0-9]{2}(?![0-9]|[.,][0-9])"
    rf"|(?<![.,+])(?<![0-9][ '-]){_NUMBER} ?"
    rf"(?:[$€£¥₹₽₩₺%]|(?:{'|'.join(map(re.escape, _CURRENCY))}|{'|'.join(_UNIT)})"
    r"(?!(?![\u2e80-\uffff])[^\W_]))"
    ")"
)
_AMOUNT: Final = re.compile(
    rf"(?![0-9]{{4,9}}[ .'-][0-9])(?![0-9]{{1,3}}(?: [0-9]{{3}}){{1,5}} [0-9]){_NUMBER}"
)
"""A number after a currency."""
_PRODUCT_VERSION: Final = re.compile(r"[0-9]+(?:\.[0-9]+)+")
"""After a name and a slash, as in `Safari/533.20.27`."""
_CURRENCIES: Final = ("$", "€", "£", "¥", "₹", "₽", "₩", "₺", *_CURRENCY)
_GROUP: Final = re.compile(r"[0-9]+")
_SEPARATOR: Final = re.compile(r"\)?(?: ?[-./] ?| {1,2})|\)| ?[-./]?\(")
_LINE_END: Final = r"[ \t]{0,8}\r?\n(?:[ \t]{0,4}[>|]){0,4}[ \t]{0,8}"
_SPLIT: Final = re.compile(
    r"(?:(?<![0-9a-z])|(?<=[a-z]{2}[-_]))[0-9]{1,19}+"
    rf"(?:(?:[ .\t\u00b7\u2022\u2027\u22c5\u30fb_*-]{{1,8}}+|{_LINE_END})"
    rf"[0-9]{{1,19}}+(?![0-9])){{0,{MOST_GROUPS}}}+"
)
_SPLITS: Final = "\n\t\u00b7\u2022\u2027\u22c5\u30fb_*-"


@dataclass(slots=True)
class Run:
    """Groups of digits with nothing but separators between them."""

    text: str
    """The text in which it stands, look-alikes blanked."""

    groups: list[tuple[int, int]]

    @property
    def start(self) -> int:
        return self.groups[0][0]

    @property
    def end(self) -> int:
        return self.groups[-1][1]

    def digits(self, first: int, last: int) -> str:
        """Return the digits of the groups first to last, without the last."""
        return "".join([self.text[a:b] for a, b in self.groups[first:last]])

    def sizes(self, first: int, last: int) -> tuple[int, ...]:
        return tuple([b - a for a, b in self.groups[first:last]])

    def goes_on(self, first: int, last: int) -> bool:
        """Return whether a group follows after the separator that these groups have."""
        if last - first < 2 or last == len(self.groups):  # noqa: PLR2004
            return False
        before, after = self.between(last - 2, last + 1)
        return before == after and self.sizes(last, last + 1)[0] >= 3  # noqa: PLR2004

    def between(self, first: int, last: int) -> list[str]:
        """Return the separators between the groups first to last, without the last."""
        pairs = zip(self.groups[first : last - 1], self.groups[first + 1 : last], strict=True)
        return [self.text[end:start] for (_, end), (start, _) in pairs]


def _blank(found: re.Match[str]) -> str:
    return "\1" * len(found[0])


def without_look_alikes(view: View, matches: Iterable[Match] = ()) -> str:
    """Return the lower text with matches, dates, times, amounts and GUIDs blanked."""
    text = view.lower
    if spans := sorted((match.start, match.end) for match in matches):
        kept: list[str] = []
        end = 0
        for start, stop in spans:
            if start >= end:
                kept += text[end:start], "\1" * (stop - start)
                end = stop
        text = "".join([*kept, text[end:]])
    if text.count("-") >= 4:  # noqa: PLR2004
        text = _GUID.sub(_blank, text)
    parts: list[str] = []
    end = 0
    for group in _GROUP.finditer(text):
        start = group.start()
        if start < end:
            continue
        before = text[max(0, start - 5) : start].rstrip(" ")
        found = _AMOUNT if before.endswith(_CURRENCIES) else _LOOK_ALIKE
        if before.endswith("/") and before[-2:-1].isalpha():
            found = _PRODUCT_VERSION
        if alike := found.match(text, start):
            parts += text[end:start], _blank(alike)
            end = alike.end()
    return "".join([*parts, text[end:]]) if parts else text


def runs(text: str) -> Iterator[Run]:
    """Yield the runs of a text. Digits that touch an ASCII letter are in none."""
    groups: list[tuple[int, int]] = []
    for group in _GROUP.finditer(text):
        start, end = group.span()
        if groups:
            between = text[groups[-1][1] : start]
            if len(groups) == MOST_GROUPS or not _SEPARATOR.fullmatch(between):
                yield Run(text, groups)
                groups = []
        if _touches_a_letter(text, start, end):
            if groups:
                yield Run(text, groups)
                groups = []
        else:
            groups.append((start, end))
    if groups:
        yield Run(text, groups)


def split_runs(text: str) -> Iterator[Run]:
    """Yield the groups of digits with signs or one end of line between them that `runs` parts.

    A run may follow after a word with a `-` or `_`.
    """
    if "   " not in text and not any(sign in text for sign in _SPLITS):
        return
    for found in _SPLIT.finditer(text):
        whole = found[0]
        if len(whole) < SHORTEST + 1:
            continue
        word = text[found.start() - 1 : found.start()] in {"-", "_"}
        run = Run(text, [group.span() for group in _GROUP.finditer(text, *found.span())])
        between = run.between(0, len(run.groups))
        if word or not all(_SEPARATOR.fullmatch(sign) for sign in between):
            yield run


def _touches_a_letter(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start], text[end : end + 1]
    return (before.isascii() and (before.isalpha() or before == "_")) or (
        after.isascii() and (after.isalpha() or after == "_") and after != "x"
    )
