"""Values of personal data as they are split or coded in mail, web pages and chats."""

from __future__ import annotations

import html
from collections.abc import Callable
from random import Random
from typing import Final

import phonenumbers

from aifeature.personal_data import Kind
from evals.guards.values_of_kinds import Values

DISGUISED: Final = (Kind.EMAIL, Kind.PHONE, Kind.CARD, Kind.IBAN)
"""Kinds whose values are split or coded."""


def disguised(values: Values, kind: Kind, number: int) -> str:
    """Return a value of a kind that is split or coded. Cards and phones have spaces first."""
    if kind is Kind.EMAIL:
        plain = values.address(number)
        return _EMAIL_FORMS[number % len(_EMAIL_FORMS)](plain, values.random)
    if kind is Kind.PHONE:
        form = phonenumbers.PhoneNumberFormat.INTERNATIONAL
        plain = phonenumbers.format_number(values.phone_of(number), form).replace("-", " ")
    else:
        plain = values.in_fours(kind, number)
    return _NUMBER_FORMS[number % len(_NUMBER_FORMS)](plain, values.random)


def _each(text: str, code: Callable[[str], str], random: Random) -> str:
    """Return a text with each third character coded, and the signs."""
    return "".join(
        code(c) if c.isascii() and (c in "@. " or random.random() < 1 / 3) else c for c in text
    )


def _inside(text: str, code: Callable[[str], str], random: Random) -> str:
    """Return a text with tags between its first and its last character."""
    return text[0] + _each(text[1:-1], code, random) + text[-1]


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def _wrapped(text: str, end_of_line: str, random: Random) -> str:
    groups = text.split(" ")
    place = random.randrange(1, len(groups)) if len(groups) > 1 else 1
    return end_of_line.join(
        part for part in (" ".join(groups[:place]), " ".join(groups[place:])) if part
    )


_Form = Callable[[str, Random], str]
_CODED: Final[tuple[_Form, ...]] = (
    lambda text, random: _each(text, lambda c: f"&#{ord(c)};", random),
    lambda text, random: _each(text, lambda c: f"&#x{ord(c):04X};", random),
    lambda text, random: _each(text, _percent, random),
    lambda text, random: _each(text, lambda c: f"\\u{ord(c):04x}", random),
    lambda text, random: _each(text, lambda c: html.escape(f"&#{ord(c)};"), random),
    lambda text, random: _inside(text, lambda c: f"{c}<!-- -->", random),
    lambda text, random: _inside(text, lambda c: f"<span>{c}</span>", random),
)
_EMAIL_FORMS: Final[tuple[_Form, ...]] = (
    *_CODED,
    lambda text, _: text.replace("@", "\\@").replace(".", "\\."),
    lambda text, _: text.replace("@", "%40").replace("%", "%25"),
    lambda text, _: text.replace("@", "&commat;").replace(".", "&period;"),
)
_NUMBER_FORMS: Final[tuple[_Form, ...]] = (
    *_CODED,
    lambda text, _: text.replace(" ", "&nbsp;"),
    lambda text, _: text.replace(" ", "\t"),
    lambda text, _: text.replace(" ", "   "),
    lambda text, _: text.replace(" ", " \u00b7 "),
    lambda text, _: text.replace(" ", "\u2022"),
    lambda text, _: text.replace(" ", "_"),
    lambda text, _: text.replace(" ", "** **"),
    lambda text, random: _wrapped(text, "\n", random),
    lambda text, random: _wrapped(text, "\n> ", random),
    lambda text, random: _wrapped(text, "<br>", random),
)
