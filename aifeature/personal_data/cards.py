"""Payment card numbers: 12 to 19 digits, a range of a known issuer, and the Luhn check digit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from aifeature.personal_data.context import Context, Topic
from aifeature.personal_data.kinds import Kind, Match
from aifeature.personal_data.numbers import Run

_SHORTEST: Final = 12
_LONGEST: Final = 19
_SIXTEEN_UP: Final = frozenset(range(16, 20))
_MAESTRO: Final = frozenset(range(12, 20))

_RANGES: Final[tuple[tuple[str, str, frozenset[int]], ...]] = (
    ("4", "4", frozenset({13, 16, 19})),  # Visa
    ("51", "55", frozenset({16})),  # Mastercard
    ("2221", "2720", frozenset({16})),  # Mastercard
    ("34", "34", frozenset({15})),  # American Express
    ("37", "37", frozenset({15})),
    ("300", "305", frozenset({14, 16, 17, 18, 19})),  # Diners Club
    ("3095", "3095", frozenset({14, 16})),
    ("36", "36", frozenset({14, 15, 16, 17, 18, 19})),
    ("38", "39", frozenset({14, 16, 17, 18, 19})),
    ("35", "35", _SIXTEEN_UP),  # JCB
    ("2131", "2131", frozenset({15})),
    ("1800", "1800", frozenset({15})),
    ("2200", "2204", _SIXTEEN_UP),  # Mir
    ("2205", "2205", frozenset({16})),  # Borica
    ("50", "50", _MAESTRO),  # Maestro, Dankort, Elo, Verve, RuPay
    ("56", "58", _MAESTRO),
    ("60", "60", _SIXTEEN_UP),  # Discover, RuPay, Hipercard
    ("62", "62", _SIXTEEN_UP),  # UnionPay
    ("6304", "6304", _MAESTRO),
    ("636", "639", _MAESTRO),
    ("644", "659", _SIXTEEN_UP),  # Discover
    ("67", "67", _MAESTRO),
    ("81", "82", _SIXTEEN_UP),  # UnionPay, RuPay
    ("0604", "0604", _MAESTRO),
    ("61", "61", frozenset({16})),  # Maestro by its older, wider range
    ("63", "63", frozenset({16})),
    ("66", "66", frozenset({16})),
    ("68", "69", frozenset({16})),
    ("9792", "9792", frozenset({16})),  # Troy
)
_ISSUER: Final = re.compile(
    "|".join(
        "[-./ ()]{0,2}".join(
            f"[{low[place]}-{high[place]}]" if low[:place] == high[:place] else "[0-9]"
            for place in range(len(low))
        )
        for low, high, _ in _RANGES
    )
)
"""The first digits of every range, with separators. It also matches a few that are in none."""
_USUAL_GROUP: Final = 4
_LARGEST_GROUP: Final = 6
_OF_AMEX: Final = 3
"""Groups of a card with groups of different sizes."""
_ODD_DIGIT: Final = str.maketrans("0123456789", "0246813579")


_VALID_UNTIL: Final = re.compile(
    r"[-/](?:0[1-9]|1[0-2])[-/]?[2-5][0-9](?:[-/][0-9]{3,4})?(?![-/.]?[0-9])"
)
"""The month and the year of its end, and its code."""
_JOINED: Final = re.compile("[-.][0-9]")


def luhn(digits: str) -> bool:
    """Return whether the last digit is the Luhn check digit of the others."""
    plain, doubled = digits[::-1][::2], digits[::-1][1::2].translate(_ODD_DIGIT)
    return (sum(map(int, plain)) + sum(map(int, doubled))) % 10 == 0


def is_card(digits: str) -> bool:
    """Return whether an issuer gives out such a number."""
    return (
        any(
            low <= digits[: len(low)] <= high and len(digits) in lengths
            for low, high, lengths in _RANGES
        )
        and luhn(digits)
        and len(set(digits)) > 1
    )


def is_ean13(digits: str) -> bool:
    """Return whether the digits are a valid EAN-13, the number of a product or a book."""
    weighted = sum(map(int, digits[0::2])) + 3 * sum(map(int, digits[1::2]))
    return len(digits) == 13 and weighted % 10 == 0  # noqa: PLR2004


def find(run: Run, context: Context) -> Iterator[Match]:
    """Yield the cards of a run of digits.

    Digits without separators after a word such as `order` are no card, and neither is a product's
    number.
    """
    first = 0
    while first < len(run.groups):
        last = _end_of_card(run, first, context)
        if last and not _is_something_else(run, first, last, context):
            start, end = run.groups[first][0], run.groups[last - 1][1]
            yield Match(start, end, Kind.CARD, run.digits(first, last))
            first = last
        else:
            first += 1


def find_split(run: Run, context: Context) -> Iterator[Match]:
    """Yield the cards of a run that is split by other signs, or by one end of a line."""
    first = 0
    while first < len(run.groups):
        last = _end_of_split_card(run, first, context)
        if last:
            start, end = run.groups[first][0], run.groups[last - 1][1]
            yield Match(start, end, Kind.CARD, run.digits(first, last))
        first = last or first + 1


def _end_of_split_card(run: Run, first: int, context: Context) -> int:
    start, end = run.groups[first]
    if not _ISSUER.match(run.text, start) or (
        end - start < _USUAL_GROUP and len(run.groups) > _LONGEST
    ):
        return 0
    before = run.text[start - 1 : start]
    if first and "\n" not in run.between(first - 1, first + 1)[0]:
        return 0
    worded = before in {"-", "_"}
    for last in range(min(len(run.groups), first + _LONGEST), first, -1):
        sizes = run.sizes(first, last)
        if not _SHORTEST <= sum(sizes) <= _LONGEST or not is_card(run.digits(first, last)):
            continue
        topic = context.near(start, run.groups[last - 1][1])
        if topic is Topic.OTHER:
            continue
        if last - first == 1:
            if worded and sum(sizes) > _SHORTEST:
                return last
            continue
        between = run.between(first, last)
        lines = sum("\n" in sign for sign in between)
        after = run.between(last - 1, last + 1) if last < len(run.groups) else [""]
        if topic is Topic.CARD and lines <= len(sizes) // 2:
            return last
        if (
            _is_regular(sizes)
            and lines <= 1
            and len({sign for sign in between if "\n" not in sign}) == 1
            and not (after[0] in between or ("\n" in after[0] and lines))
        ):
            return last
    return 0


def _end_of_card(run: Run, first: int, context: Context) -> int:
    """Return the group after the longest card that begins with a group, 0 if none does."""
    start, end = run.groups[first]
    if not _ISSUER.match(run.text, start):
        return 0
    size = end - start
    if size < _USUAL_GROUP and (first or len(run.groups) > _LONGEST):
        return 0  # a row of small numbers
    digits, found = "", 0
    regular = True
    for last in range(first + 1, len(run.groups) + 1):
        digits += run.digits(last - 1, last)
        if len(digits) > _LONGEST:
            break
        whole = first == 0 and last == len(run.groups)
        if size < _USUAL_GROUP and not whole:
            continue
        if len(digits) >= _SHORTEST and (whole or regular or last - first == _OF_AMEX):
            regular_now = _is_regular(run.sizes(first, last))
            if (
                (regular_now or (whole and context.near(run.start, run.end) is Topic.CARD))
                and is_card(digits)
            ):  # fmt: skip
                found = last
        regular = regular and run.sizes(last - 1, last)[0] == size
        if not regular and first and last - first >= _OF_AMEX:
            break
    return found


def _is_regular(sizes: tuple[int, ...]) -> bool:
    """Return whether groups are of one size, except the last, or as on Amex and Diners cards."""
    return sizes in {(4, 6, 5), (4, 6, 4), (6, 13), (8, 8)} or (
        len(set(sizes[:-1])) <= 1
        and sizes[-1] <= max(4, sizes[0])
        and (len(sizes) == 1 or sizes[0] <= _LARGEST_GROUP)
    )


def _is_something_else(run: Run, first: int, last: int, context: Context) -> bool:
    start, end = run.groups[first][0], run.groups[last - 1][1]
    topic = context.near(start, end)
    if topic is Topic.CARD:
        return False
    if last - first == 1 and _VALID_UNTIL.match(run.text, end):
        return topic is Topic.OTHER
    if run.goes_on(first, last) or len(set(run.between(first, last))) > 1:
        return True
    if run.text[start - 1 : start] in {"+", "-", "."} or _JOINED.match(run.text, end):
        return True
    if last - first > 1:
        return False
    return topic is Topic.OTHER or is_ean13(run.digits(first, last))
