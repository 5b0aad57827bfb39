"""International bank account numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from stdnum import numdb
from stdnum.iso7064 import mod_97_10

from aifeature.personal_data.kinds import Kind, Match
from aifeature.personal_data.views import View

_DIGITS: Final = re.compile("[0-9]+")
_START: Final = re.compile(
    r"(?:(?<![a-z0-9])|(?<=iban))[a-z]{2}[ .-]?[0-9] ?[0-9](?=[^a-z0-9]{0,10}[a-z0-9])"
)
_CHARACTERS: Final = re.compile(
    r"(?:(?:[ .\t\u00b7\u2022\u2027\u22c5\u30fb_*/-]{0,8}+"
    r"|[ \t]{0,8}\r?\n(?:[ \t]{0,4}[>|]){0,4}[ \t]{0,8})"
    r"[a-z0-9]){11,34}"
)
_TOKEN: Final = re.compile(r"[a-z]{2}[0-9]{2}[a-z0-9]{11,30}(?![a-z0-9])")
_SEPARATORS: Final = re.compile(r"[^a-z0-9]")


@cache
def _structures() -> dict[str, tuple[int, re.Pattern[str]]]:
    """Return the form of each country's account numbers, from the SWIFT registry in stdnum."""
    forms = {}
    classes = {"n": "[0-9]", "a": "[A-Z]", "c": "[A-Z0-9]"}
    for _length, country, _high, properties, _children in numdb.get("iban").prefixes:
        form = "".join(
            f"{classes[kind]}{{{count}}}"
            for count, kind in re.findall(r"(\d+)!([nac])", properties["bban"])
        )
        forms[country] = (sum(map(int, re.findall(r"\d+", properties["bban"]))), form)
    return {country: (length + 4, re.compile(form)) for country, (length, form) in forms.items()}


def find(view: View) -> Iterator[Match]:
    """Yield the account numbers of a view whose form and check digits are right."""
    text = view.lower
    end = 0
    for digits in _DIGITS.finditer(text):
        place = digits.start()
        start = _START.match(text, max(0, place - 2)) or _START.match(text, max(0, place - 3))
        if start is None:
            continue
        structure = _structures().get(start[0][:2].upper())
        if structure is None or start.start() < end:
            continue
        found = _listed(text, start.start(), structure) or _unlisted(text, start.start())
        if found:
            number, end = found
            yield Match(start.start(), end, Kind.IBAN, number)


def _listed(
    text: str, start: int, structure: tuple[int, re.Pattern[str]]
) -> tuple[str, int] | None:
    """Return a number in the form of its country, with any separators, and its end."""
    length, form = structure
    run = _CHARACTERS.match(text, start)
    if run is None:
        return None
    number, size = _take(run[0], length)
    after = text[start + size : start + size + 1]
    if after.isascii() and after.isalnum():
        return None
    if len(number) == length and form.fullmatch(number, 4) and _checks(number):
        return number, start + size
    return None


def _unlisted(text: str, start: int) -> tuple[str, int] | None:
    """Return a number without separators in a form that the registry does not list."""
    run = _TOKEN.match(text, start)
    return (run[0].upper(), run.end()) if run and _checks(run[0].upper()) else None


def _checks(number: str) -> bool:
    return mod_97_10.is_valid(number[4:] + number[:4])


def _take(run: str, length: int) -> tuple[str, int]:
    """Return the first characters of a run without separators, and where they end."""
    taken = 0
    for place, character in enumerate(run):
        taken += character.isalnum()
        if taken == length:
            return _SEPARATORS.sub("", run[: place + 1]).upper(), place + 1
    return "", len(run)
