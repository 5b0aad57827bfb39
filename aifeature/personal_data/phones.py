"""Phone numbers: international ones, and national ones by their shape or by the words near them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Final

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberFormat

from aifeature.personal_data.cards import is_ean13
from aifeature.personal_data.context import Context, Topic
from aifeature.personal_data.kinds import Kind, Match
from aifeature.personal_data.numbers import Run

_SHORTEST: Final = 6
_LONGEST: Final = 15
_SHORTEST_APART: Final = 7
"""Fewer digits before a separator are the beginning of a number."""
_SHORTEST_INTERNATIONAL: Final = 10
"""Digits with which an unknown number after a `+` is one."""
_INSIDE: Final = frozenset("-.,/#+=")
"""Signs before digits inside of another number."""
_COUNTING: Final = frozenset({"0123456789", "01234567890", "0987654321"})
_MOST_GROUPS: Final = 8

_WITH_TRUNK_ZERO: Final = (
    "DE", "GB", "FR", "IT", "NL", "BE", "CH", "AT", "SE", "FI", "IE", "AU", "NZ", "JP", "KR",
    "CN", "TR", "UA", "RO", "BG", "HR", "SI", "SK", "RS", "ZA", "IN", "ID", "TH", "TW", "IL",
    "EG", "SA", "AE", "VN", "MY", "PH", "AR", "BR", "PK", "NG", "KE", "MA", "AZ",
)  # fmt: skip
"""Regions whose national numbers begin with 0."""

_SHAPES: Final[dict[tuple[int, ...], tuple[str, ...]]] = {
    (3, 3, 4): ("US", "CA", "MX", "IT", "CO", "GR", "PH", "IN"),
    (1, 3, 3, 4): ("US", "CA", "RU", "KZ"),
    (1, 3, 3, 2, 2): ("RU", "KZ"),
    (3, 2, 2, 2): ("ES",),
    (2, 3, 2, 2): ("PL", "ES"),
    (3, 4, 4): ("CN",),
    (3, 7): ("IT", "CO", "GR"),
    (2, 5, 4): ("BR",),
    (2, 4, 4): ("MX", "BR", "AR", "GR"),
    (1, 4, 4): ("CL",),
    (3, 2, 3): ("NO",),
    (2, 2, 3, 4): ("UZ",),
}
"""Sizes of groups that are seldom anything but a number of these regions, without a trunk 0."""

_IN_PARENTHESES: Final = ("US", "CA", "BR", "MX", "AR", "CO", "PL", "HU", "TR", "GR")
_WITHOUT_TRUNK: Final = (
    "US", "CA", "ES", "PT", "PL", "NO", "DK", "CZ", "HU", "GR", "MX", "CO", "CL", "PE", "RU", "SG",
    "HK", "EE", "LV", "LT", "LU",
)  # fmt: skip
_ANY_REGION: Final = (*_WITH_TRUNK_ZERO, *_WITHOUT_TRUNK)
_TRUNKS: Final = {"US": "1", "CA": "1", "RU": "8", "KZ": "8"}
_WITH_TRUNK: Final = 11
"""Digits of a number of these regions with its trunk prefix."""


def _metadata(region: str) -> PhoneMetadata:
    metadata = PhoneMetadata.metadata_for_region(region)
    if metadata is None:
        raise ValueError(f"phonenumbers has no region {region}")
    return metadata


@cache
def _valid(region: str) -> re.Pattern[str]:
    """Return the valid national numbers of a region, of the kinds that people have."""
    metadata = _metadata(region)
    kinds = [
        kind.national_number_pattern
        for kind in (
            metadata.fixed_line, metadata.mobile, metadata.toll_free, metadata.shared_cost,
            metadata.personal_number, metadata.voip, metadata.uan, metadata.premium_rate,
        )
        if kind and kind.national_number_pattern
    ]  # fmt: skip
    return re.compile("|".join(f"(?:{kind})" for kind in dict.fromkeys(kinds)))


@cache
def _mobile(region: str) -> re.Pattern[str]:
    mobile = _metadata(region).mobile
    return re.compile((mobile and mobile.national_number_pattern) or "(?!)")


def _national(region: str, digits: str) -> str | None:
    """Return the national number of dialled digits if it is valid in a region."""
    trunk = (digits[0] == "0" and region != "IT") or (
        len(digits) == _WITH_TRUNK and digits[0] == _TRUNKS.get(region)
    )
    number = digits[1:] if trunk else digits
    return number if _valid(region).fullmatch(number) else None


def find(run: Run, context: Context) -> Iterator[Match]:
    """Yield the phone numbers of a run of digits."""
    first = end_of_last = 0
    while first < len(run.groups):
        found = _international(run, first, context)
        start = run.groups[first][0]
        if found is None and (first == end_of_last or run.groups[first - 1][1] < start - 1):
            # it is not in the middle of another number
            found = _near_a_word(run, first, context) or _by_shape(run, first, context)
        if found is None:
            first += 1
            continue
        last, value = found
        start, end = run.groups[first][0], run.groups[last - 1][1]
        yield Match(_with_signs(run.text, start, end), end, Kind.PHONE, value)
        first = end_of_last = last


def find_split(run: Run, context: Context, found: AbstractSet[int]) -> Match | None:
    """Return the phone number that is a whole run which is split by other signs.

    It needs a `+` or a word before it. `found` is where numbers without such signs begin.
    """
    last = len(run.groups)
    if run.start in found or not _SHORTEST_APART <= len(run.digits(0, last)) <= _LONGEST:
        return None
    digits, value = run.digits(0, last), ""
    start = _with_signs(run.text, run.start, run.end)
    if start < run.start:
        value = _of_the_world(digits)
    elif context.before(run.start) is Topic.PHONE and last > 1:
        regions = _WITH_TRUNK_ZERO if digits[0] == "0" else _ANY_REGION
        if any(_national(region, digits) for region in regions):
            value = digits.lstrip("0")
    return Match(start, run.end, Kind.PHONE, value) if value else None


def _of_the_world(digits: str) -> str:
    """Return a valid number that begins with the code of a country, else an empty string."""
    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return ""
    valid = phonenumbers.is_valid_number(number)
    return f"+{number.country_code}{number.national_number}" if valid else ""


def _with_signs(text: str, start: int, end: int) -> int:
    """Return where the number with its `+` and its opening parenthesis begins."""
    before = text[max(0, start - 3) : start]
    closed = ")" in text[start:end]
    for signs in ("(+ ", "(+(", "(+", "+ (", "+(", "( ", "("):
        if closed and before.endswith(signs):
            return start - len(signs)
    for signs in ("+ ", "+"):
        if before.endswith(signs):
            return start - len(signs)
    return start


def _most(run: Run, first: int) -> int:
    """Return the group after the last that may belong to a number that begins with a group."""
    digits = 0
    last = first
    while last < min(len(run.groups), first + _MOST_GROUPS):
        start, end = run.groups[last]
        digits += end - start
        if digits > _LONGEST + 2:
            break
        if last > first and _is_apart(run.between(last - 1, last + 1)[0], digits - (end - start)):
            break
        last += 1
    return last


def _is_apart(separator: str, before: int) -> bool:
    """Return whether a separator parts two numbers. `before` is the count of digits before it."""
    if before < _SHORTEST_APART:
        return False
    return ("/" in separator and separator != "/") or (
        separator in {". ", " - "} and before > _SHORTEST_APART + 1
    )


def _international(run: Run, first: int, context: Context) -> tuple[int, str] | None:
    start = run.groups[first][0]
    signs = run.text[max(0, start - 3) : start].rstrip(" (")
    plus = signs.endswith("+") and not signs[:-1].endswith(("+", "="))
    if not plus:
        head = run.digits(first, first + 1)
        if (
            not head.startswith("00")
            or head.startswith("000")
            or run.text[start - 1 : start] in _INSIDE
            or (is_ean13(head) and context.before(start) is not Topic.PHONE)
            or context.before(start) is Topic.OTHER
        ):
            return None
    for last in range(_most(run, first), first, -1):
        digits = run.digits(first, last)
        if not plus:
            digits = digits[2:]
        if not 7 <= len(digits) <= _LONGEST + 1:  # noqa: PLR2004
            continue
        try:
            number = phonenumbers.parse(f"+{digits}")
        except phonenumbers.NumberParseException:
            continue
        valid = phonenumbers.is_valid_number(number)
        whole = last == _most(run, first)
        if valid or (
            plus
            and whole
            and len(digits) >= _SHORTEST_INTERNATIONAL
            and phonenumbers.is_possible_number(number)
        ):
            return last, f"+{number.country_code}{number.national_number}"
    return None


def _near_a_word(run: Run, first: int, context: Context) -> tuple[int, str] | None:
    if context.near(run.groups[first][0], run.end) is not Topic.PHONE:
        return None
    possible = None
    for last in range(_most(run, first), first, -1):
        digits = run.digits(first, last)
        if not _SHORTEST <= len(digits) <= _LONGEST:
            continue
        if _is_quantity(run, first, last):
            continue
        if any(_national(region, digits) for region in _ANY_REGION):
            return last, digits.lstrip("0")
        possible = possible or last
    if possible:
        return possible, run.digits(first, possible).lstrip("0")
    return None


def _is_quantity(run: Run, first: int, last: int) -> bool:
    """Return whether the groups are thousands or a decimal fraction."""
    between = run.between(first, last)
    sizes = run.sizes(first, last)
    if between == ["."] and run.digits(first, last)[0] != "0":
        return sizes != (4, 4)
    if sum(sizes) >= 9:  # noqa: PLR2004
        return False
    return bool(between) and set(between) == {"."} and set(sizes[1:]) == {3} and sizes[0] <= 3  # noqa: PLR2004


def _by_shape(run: Run, first: int, context: Context) -> tuple[int, str] | None:
    """Return a number that is valid in a region and written as it is written there."""
    start = run.groups[first][0]
    before = run.text[max(0, start - 2) : start]
    if (
        run.digits(first, first + 1) in _COUNTING
        or before[-1:] in _INSIDE
        or (before[-1:] == "(" and before[:1].isascii() and before[:1].isalnum())
    ):
        return None
    opened = before.endswith("(")
    for last in range(_most(run, first), first, -1):
        digits = run.digits(first, last)
        if not 8 <= len(digits) <= 13 or _is_quantity(run, first, last):  # noqa: PLR2004
            continue
        end = run.groups[last - 1][1]
        if run.goes_on(first, last):
            continue
        if re.match(r"[.,:/-]?[0-9]|[-_][a-z]|:", run.text[end : end + 2]):
            continue
        if (
            _is_written_so(run, first, last, digits, opened=opened)
            and context.near(start, end) is not Topic.OTHER
        ):
            return last, digits.lstrip("0")
    return None


def _is_written_so(run: Run, first: int, last: int, digits: str, *, opened: bool) -> bool:
    sizes, between = run.sizes(first, last), run.between(first, last)
    if opened and ")" in "".join(between[:2]):
        areas: tuple[str, ...] = _WITH_TRUNK_ZERO if digits[0] == "0" else _IN_PARENTHESES
        return len(digits) >= 9 and (  # noqa: PLR2004
            sizes == (3, 3, 4) or any(_national(region, digits) for region in areas)
        )
    if digits[0] == "0":
        return digits[1] != "0" and _is_trunk_shape(digits, sizes, between)
    regions = _SHAPES.get(sizes, ())
    if "/" in "".join(between) or (sizes[0] == 2 and set(between) <= {"."}):  # noqa: PLR2004
        return False
    if sizes in {(2, 4, 4), (3, 7)} and between[0] != " ":
        return False
    if sizes == (11,):
        return _near_han(run, first) and bool(_mobile("CN").fullmatch(digits))
    return any(_national(region, digits) for region in regions)


def _near_han(run: Run, first: int) -> bool:
    near = run.text[max(0, run.groups[first][0] - 12) : run.groups[first][1] + 12]
    return re.search(r"[\u4e00-\u9fff]", near) is not None


def _is_trunk_shape(digits: str, sizes: tuple[int, ...], between: list[str]) -> bool:
    if len(sizes) == 1:
        regions = [region for region in _WITH_TRUNK_ZERO if region != "IT"]
        if len(digits) in {10, 11, 12} and any(
            _mobile(region).fullmatch(digits[1:]) for region in regions
        ):
            return True
        return (len(digits) == 11 or (len(digits) == 10 and not _is_isbn10(digits))) and any(  # noqa: PLR2004
            _national(region, digits) for region in regions
        )
    if len(digits) < 9 or min(sizes) < 2:  # noqa: PLR2004
        return False
    if set(between) <= {"."} and len(set(sizes)) > 1 and sizes[0] == 1:
        return False
    if len(sizes) == 2 and sizes[0] == 4 and _mobile("DE").fullmatch(digits[1:]):  # noqa: PLR2004
        return True  # by the length of the prefix in use before 2000
    return any(_starts_with_area(region, digits, sizes[0]) for region in _WITH_TRUNK_ZERO)


def _is_isbn10(digits: str) -> bool:
    return sum(int(d) * (10 - i) for i, d in enumerate(digits)) % 11 == 0


def _starts_with_area(region: str, digits: str, size: int) -> bool:
    if not _national(region, digits):
        return False
    return size == _area(region, digits)


def _area(region: str, digits: str) -> int:
    number = phonenumbers.parse(digits, region)
    written = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    first = re.search(r"[0-9]+", written)
    return len(first[0]) if first else 0
