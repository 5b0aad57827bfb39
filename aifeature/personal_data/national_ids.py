"""Numbers by which states identify people, checked by their check digits where they have some."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

from stdnum.exceptions import ValidationError
from stdnum.iso7064 import mod_11_2

from aifeature.personal_data.cards import luhn
from aifeature.personal_data.context import Context, Topic
from aifeature.personal_data.kinds import Kind, Match
from aifeature.personal_data.numbers import Run

_BY_LENGTH: Final[dict[int, tuple[str, ...]]] = {
    8: ("cl.rut", "pe.cui"),
    9: ("us.ssn", "us.itin", "ca.sin", "au.tfn", "nl.bsn", "pt.nif", "il.idnr", "cz.rc", "nz.ird",
    "co.nit", "gr.vat", "cl.rut"),
    10: ("se.personnummer", "at.vnr", "at.tin", "ua.rntrc", "bg.egn", "cz.rc", "gb.nhs",
    "is_.kennitala", "dk.cpr",
         "ec.ci", "co.nit", "pl.nip", "hu.tax"),
    11: ("pl.pesel", "br.cpf", "tr.tckimlik", "de.idnr", "be.nn", "be.bis", "hr.oib", "ee.ik",
    "lt.asmens", "lv.pvn",
         "no.fodselsnummer", "gr.amka", "ar.cuit", "do.cedula", "ru.snils", "hu.id", "mx.nss"),
    12: ("ru.inn", "se.personnummer", "jp.in_", "in_.aadhaar", "my.nric", "kz.iin"),
    13: ("ro.cnp", "za.idnr", "si.emso", "kr.rrn", "th.pin", "ch.ssn", "pk.cnic"),
    15: ("fr.nir",),
    16: ("id.card",),
    18: ("cn.id",),
}  # fmt: skip
"""Checks of the numbers of each length. Names are modules of stdnum, or functions here."""

_ALONE: Final[dict[int, tuple[str, ...]]] = {
    10: ("at.alone", "bg.born", "is_.kennitala", "se.born"),
    11: (
        "pl.pesel",
        "br.cpf",
        "tr.tckimlik",
        "de.idnr",
        "be.nn",
        "ee.ik",
        "no.fodselsnummer",
        "gr.amka",
    ),
    12: ("ru.inn", "se.born"),
    13: ("ro.cnp", "za.born", "si.born", "ch.ssn"),
    15: ("fr.born",),
    18: ("cn.id",),
}
"""Checks that few other numbers pass: digits without separators and without a word are enough."""

_SHAPES: Final[dict[tuple[tuple[int, ...], str], tuple[str, ...]]] = {
    ((3, 2, 4), "--"): ("us.ssn", "us.itin"),
    ((3, 3, 3, 2), "..-"): ("br.cpf",),
    ((3, 3, 3, 2), "-- "): ("ru.snils",),
    ((3, 3, 3, 2), "---"): ("ru.snils", "br.cpf"),
    ((6, 4), "-"): ("se.born", "dk.born", "is_.kennitala"),
    ((8, 4), "-"): ("se.born",),
    ((6, 5), "-"): ("lv.pvn",),
    ((6, 5), " "): ("no.fodselsnummer",),
    ((6, 3), "/"): ("cz.rc",),
    ((6, 4), "/"): ("cz.rc",),
    ((6, 7), "-"): ("kr.born",),
    ((3, 4, 4, 2), "..."): ("ch.ssn",),
    ((2, 8, 1), "--"): ("ar.cuit",),
    ((1, 4, 5, 2, 1), "----"): ("th.pin",),
    ((1, 4, 5, 2, 1), "    "): ("th.pin",),
    ((4, 6), " "): ("at.born",),
    ((4, 6), "-"): ("at.born",),
    ((1, 2, 2, 2, 3, 3, 2), "      "): ("fr.nir",),
    ((13, 2), " "): ("fr.nir",),
    ((2, 3, 3, 3), "   "): ("de.idnr",),
    ((2, 2, 2, 3, 2), "..-."): ("be.nn", "be.bis"),
    ((6, 3, 2), " - "): ("be.nn",),
    ((6, 3, 2), "-."): ("be.nn",),
    ((6, 3, 2), "--"): ("be.nn",),
    ((4, 4, 4), "  "): ("in_.aadhaar",),
    ((4, 4, 4), "--"): ("in_.aadhaar",),
    ((3, 7, 1), "--"): ("do.cedula",),
    ((5, 7, 1), "--"): ("pk.cnic",),
    ((6, 2, 4), "--"): ("my.nric",),
    ((2, 3, 3, 1), "..-"): ("cl.rut",),
    ((6, 3, 3), "   "): ("ru.inn",),
}
"""Sizes of groups and the separators between them that a country's numbers have."""

_WITH_LETTERS: Final = {
    name: re.compile(pattern)
    for name, pattern in {
        "es.nie": r"[xyz][ -]?[0-9]{7}[ -]?[a-z]",
        "it.codicefiscale": r"[a-z]{3} ?[a-z]{3} ?[0-9l-v]{2}[a-ehlmprst][0-9l-v]{2} ?"
        r"[a-z][0-9l-v]{3} ?[a-z]",
        "mx.curp": r"[a-z]{4}[0-9]{6}[hmx][a-z]{5}[a-z0-9][0-9]",
        "mx.rfc": r"[a-z]{4}[ -]?[0-9]{6}[ -]?[a-z0-9]{3}",
        "gb.nino": r"[a-ceghj-prtw-z][a-ceghj-nprtw-z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[a-d]",
        "gb.any": r"[a-z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[a-z]",
        "in_.pan": r"[a-z]{5}[0-9]{4}[a-z]",
        "sg.nric": r"[stfgm][0-9]{7}[a-z]",
        "tw.id": r"[a-z][1289][0-9]{8}",
        "hk.id": r"[a-z]{1,2}[0-9]{6}\(?[0-9a]\)?",
        "de.rvnr": r"[0-9]{2} ?[0-9]{6} ?[a-z] ?[0-9]{3}",
        "fi.hetu": r"[0-9]{6}[-+a-fu-y][0-9]{3}[0-9a-y]",
        "cn.id": r"[0-9]{17}x",
        "fr.nir": r"[12][ ]?[0-9]{2} ?[0-9]{2} ?2[ab] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}",
        "pt.cc": r"[0-9]{8} ?[0-9] ?[a-z][a-z0-9][0-9]",
        "cl.rut": r"[0-9]{1,2}\.?[0-9]{3}\.?[0-9]{3}-[0-9k]",
        "ie.pps": r"[0-9]{7}[a-w][a-iw]?",
        "es.dni": r"[0-9]{1,2}\.?[0-9]{3}\.?[0-9]{3}[ -]?[a-z]",
    }.items()
}
"""The forms of numbers that hold letters, as they are written."""
_NEEDS_WORD: Final = frozenset({"mx.rfc", "gb.any", "ie.pps"})
_WITH_WORD: Final = frozenset(
    {((3, 2, 4), "--"), ((2, 3, 5), "//"), ((3, 3, 5), "//"), ((3, 4, 4), "//")}
)
"""Shapes without a check that count after a word for them: the SSN, and German tax numbers."""
_USUAL_SIZES: Final = range(9, 16)
"""Digits of most national numbers."""
_DNI_SHAPES: Final = frozenset({((2, 3, 3), ".."), ((1, 3, 3), "..")})
_DNI_WORD: Final = re.compile(r"(?<![^\W_])(?:dni|documento|c[ée]dula|identidad)")
"""Words for the numbers of Argentina, Peru and Colombia, which have no check digit."""
_JOINED: Final = re.compile(r"[-./][0-9]")
_SIGNS: Final = re.compile("[^0-9A-Z]")
_WORD_START: Final = re.compile(r"(?<![a-z0-9])[a-z0-9]")
_PASSPORT_WORD: Final = re.compile(
    r"pass(?!w|ag|i|e[dns]|\w*wor)\w*|pasap|paszport|паспорт|护照|護照|パスポート|여권|pasaport|جواز|personalausweis|ausweis|führerschein"
    r"|driv\w{2,4}.{1,3}licen|licence|permis|patente"
)
_PASSPORT: Final = re.compile(
    r"(?<![a-z0-9])(?=(?:[a-z]{0,7}[0-9]){2})"
    r"(?:[a-z]{0,3}[0-9]{5,9}|[a-z0-9]{8,9})(?![a-z0-9])"
)
_FIRST_WITHOUT_SPACES: Final = "\u2e80"
"""The first character of the scripts that have no spaces between words."""
_RECENT: Final = range(10, 31)
"""Last two digits of the years in which order numbers begin with a date."""


def _weighted(digits: str, weights: tuple[int, ...], modulus: int) -> int:
    return sum(int(d) * w for d, w in zip(digits, weights, strict=False)) % modulus


def _is_date(year: str, month: str, day: str) -> bool:
    return 1 <= int(month) <= 12 and 1 <= int(day) <= 31 and bool(year)  # noqa: PLR2004


def _ru_snils(number: str) -> bool:
    total = sum(int(d) * (9 - i) for i, d in enumerate(number[:9]))
    return number[:3] != "000" and total % 101 % 100 == int(number[9:])


def _kz_iin(number: str) -> bool:
    if not _is_date(number[:2], number[2:4], number[4:6]) or number[6] not in "123456":
        return False
    check = _weighted(number, tuple(range(1, 12)), 11)
    if check == 10:  # noqa: PLR2004
        check = _weighted(number, (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2), 11)
    return check == int(number[11])


def _hu_tax(number: str) -> bool:
    return number[0] == "8" and _weighted(number, tuple(range(1, 10)), 11) == int(number[9])


def _hu_id(number: str) -> bool:
    return (
        number[0] in "12345678"
        and _is_date(number[1:3], number[3:5], number[5:7])
        and (
            _weighted(number, tuple(range(10, 0, -1)), 11) == int(number[10])
            or _weighted(number, tuple(range(1, 11)), 11) == int(number[10])
        )
    )


def _mx_nss(number: str) -> bool:
    return luhn(number)


def _se_born(number: str) -> bool:
    """Return whether this is a Swedish number of a person who is no child."""
    year = number[:-8][-2:]
    return int(year) not in _RECENT and _passes("se.personnummer", number)


def _dk_born(number: str) -> bool:
    return (
        int(number[4:6]) not in _RECENT
        and _is_date(number[4:6], number[2:4], number[:2])
        and _passes("dk.cpr", number)
    )


def _kr_born(number: str) -> bool:
    return _is_date(number[:2], number[2:4], number[4:6]) and number[6] in "12345678"


def _bg_born(number: str) -> bool:
    """Return whether this is a Bulgarian number of a person born after 1899."""
    return number[0] != "1" and number[2] in "0145" and _passes("bg.egn", number)


def _cn_id(number: str) -> bool:
    """Return whether this is a Chinese number. Its county is not checked: stdnum misses some."""
    return (
        "11" <= number[:2] <= "82"
        and number[6:8] in {"19", "20"}
        and _is_date(number[6:10], number[10:12], number[12:14])
        and mod_11_2.is_valid(number)
    )


def _id_card(number: str) -> bool:
    """Return whether this may be an Indonesian number: a province and a date of birth."""
    day = int(number[6:8])
    return "11" <= number[:2] <= "96" and _is_date(
        number[10:12],
        number[8:10],
        str(day - 40 if day > 40 else day),  # noqa: PLR2004
    )


def _fr_born(number: str) -> bool:
    month = int(number[3:5])
    return number[0] in "12" and (1 <= month <= 12 or month >= 20) and _passes("fr.nir", number)  # noqa: PLR2004


def _at_born(number: str) -> bool:
    return _is_date(number[8:], number[6:8], number[4:6]) and _passes("at.vnr", number)


def _at_alone(number: str) -> bool:
    """Return whether this is an Austrian number, and no time in seconds since 1970."""
    return number[0] != "1" and _at_born(number)


def _za_born(number: str) -> bool:
    return int(number[:2]) not in _RECENT and _passes("za.idnr", number)


def _si_born(number: str) -> bool:
    """Return whether this is a number of a person born from 1900 to 2019."""
    century = number[4] == "9" or number[4:6] in {"00", "01"}
    return century and _passes("si.emso", number)


def _sg_nric(number: str) -> bool:
    total = _weighted(number[1:8], (2, 7, 6, 5, 4, 3, 2), 1000) + {"T": 4, "G": 4, "M": 3}.get(
        number[0], 0
    )
    letters = (
        "JZIHGFEDCBA"
        if number[0] in "ST"
        else "XWUTRQPNMLK"
        if number[0] in "FG"
        else "KLJNPQRTUWX"
    )
    place = total % 11
    return letters[10 - place if number[0] == "M" else place] == number[8]


def _tw_id(number: str) -> bool:
    letter = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(number[0]) + 10
    return (
        letter // 10 + letter % 10 * 9 + _weighted(number[1:], (8, 7, 6, 5, 4, 3, 2, 1, 1), 1000)
    ) % 10 == 0


def _hk_id(number: str) -> bool:
    body = number[:-1].rjust(8)
    values = [36 if c == " " else int(c, 36) for c in body]
    total = sum(v * w for v, w in zip(values, range(9, 1, -1), strict=True))
    return (total + int(number[-1], 16)) % 11 == 0


def _de_rvnr(number: str) -> bool:
    digits = number[:8] + f"{ord(number[8]) - 64:02d}" + number[9:11]
    total = sum(
        sum(divmod(int(d) * w, 10))
        for d, w in zip(digits, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=True)
    )
    return total % 10 == int(number[11])


_OURS: Final[dict[str, Callable[[str], bool]]] = {
    "ru.snils": _ru_snils, "kz.iin": _kz_iin, "hu.tax": _hu_tax, "hu.id": _hu_id, "mx.nss": _mx_nss,
    "se.born": _se_born, "dk.born": _dk_born, "kr.born": _kr_born,
    "bg.born": _bg_born, "at.born": _at_born, "at.alone": _at_alone, "za.born": _za_born,
    "fr.born": _fr_born,
    "cn.id": _cn_id, "id.card": _id_card, "si.born": _si_born,
    "sg.nric": _sg_nric, "tw.id": _tw_id, "hk.id": _hk_id, "de.rvnr": _de_rvnr,
    "gb.nino": lambda number: number[:2] not in {"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"},
    "gb.any": lambda _number: True,
    "in_.pan": lambda number: number[3] == "P",
}  # fmt: skip


@cache
def _validator(name: str) -> Callable[[str], str]:
    return importlib.import_module(f"stdnum.{name}").validate  # type: ignore[no-any-return]


def _passes(name: str, number: str) -> bool:
    if name in _OURS:
        return _OURS[name](number)
    try:
        _validator(name)(number)
    except (ValidationError, LookupError, ValueError):  # some checks raise others on odd numbers
        return False
    return True


def find(run: Run, context: Context) -> Iterator[Match]:
    """Yield the numbers of a run: after a word, in the shape of a country, or well checked."""
    if run.end - run.start < 7:  # noqa: PLR2004
        return
    first = found = 0
    while first < len(run.groups):
        last = _end(run, first, context, begins=first == found)
        if last:
            yield Match(
                run.groups[first][0],
                run.groups[last - 1][1],
                Kind.NATIONAL_ID,
                run.digits(first, last),
            )
            first = found = last
        else:
            first += 1


def _end(run: Run, first: int, context: Context, *, begins: bool) -> int:
    """Return the group after a number that begins with a group, 0 if none does.

    A number begins after another one, or after two signs.
    """
    start, end = run.groups[first][0], run.end
    if not begins and run.groups[first - 1][1] >= start - 1:
        return 0
    topic = context.near(start, end)
    for last in range(min(len(run.groups), first + 8), first, -1):
        if last < len(run.groups) and _JOINED.match(run.text, run.groups[last - 1][1]):
            continue
        digits = run.digits(first, last)
        if topic is Topic.ID and any(
            _passes(name, digits) for name in _BY_LENGTH.get(len(digits), ())
        ):
            return last
        if topic is Topic.ID and _counts_after_its_word(run, first, last, context):
            return last
        if topic in {Topic.OTHER, Topic.PHONE, Topic.CARD}:
            continue
        if run.goes_on(first, last):
            continue
        names = (
            _ALONE.get(len(digits), ())
            if last == first + 1
            else _SHAPES.get(_shape(run, first, last), ())
        )
        if last == first + 1 and (
            run.text[start - 1 : start] in {"-", "+", "/", "."}
            or re.match(r"[.,/-]?[0-9]", run.text[run.groups[first][1] : run.groups[first][1] + 2])
        ):
            continue
        if any(_passes(name, digits) for name in names):
            return last
    return 0


def _counts_after_its_word(run: Run, first: int, last: int, context: Context) -> bool:
    """Return whether this has the shape of a number without check digits, after its word."""
    sizes, between = _shape(run, first, last)
    start = run.groups[first][0]
    if (sizes, between) in _WITH_WORD:
        return True
    if last == len(run.groups) and sum(sizes) in _USUAL_SIZES and context.directly(start, Topic.ID):
        return True  # one with a typing mistake, or of another country
    if sizes not in {(7,), (8,)} and (sizes, between) not in _DNI_SHAPES:
        return False
    return _DNI_WORD.search(run.text, max(0, start - 40), start) is not None


def _shape(run: Run, first: int, last: int) -> tuple[tuple[int, ...], str]:
    return run.sizes(first, last), "".join(run.between(first, last))


def find_with_letters(text: str, context: Context) -> Iterator[Match]:
    """Yield the numbers that hold letters, and passports after a word for them."""
    end = 0
    for group in re.finditer(r"[0-9]+", text):
        if group.start() < end or not _may_have_letters(text, *group.span()):
            continue
        for begin in _starts(text, max(end, group.start() - 9), group.start()):
            if stop := _end_with_letters(text, begin, context):
                end = stop
                number = _SIGNS.sub("", text[begin:end].upper())
                yield Match(begin, end, Kind.NATIONAL_ID, number)
                break
    for word in _PASSPORT_WORD.finditer(text):
        near = text[word.start() : word.end() + 32]
        if found := _PASSPORT.search(near, word.end() - word.start()):
            begin = word.start() + found.start()
            if context.before(begin) is Topic.ID and "\n\n" not in near[: found.start()]:
                yield Match(begin, begin + len(found[0]), Kind.NATIONAL_ID, found[0].upper())


def _may_have_letters(text: str, start: int, end: int) -> bool:
    """Return whether a number with letters may hold these digits."""
    before, after = text[start - 1 : start], text[end : end + 1]
    size = end - start
    return (
        "a" <= before <= "z"
        or "a" <= after <= "z"
        or size >= 6  # noqa: PLR2004
        or (size == 2 and after == " " and "a" <= text[start - 2 : start - 1] <= "z")  # noqa: PLR2004
        or (after == "." and text[end + 1 : end + 4].isdigit())
    )


def _starts(text: str, low: int, start: int) -> list[int]:
    """Return where words begin at or before the digits, the last first."""
    starts = [found.start() for found in _WORD_START.finditer(text, low, start + 1)]
    return starts[::-1][:4]


def _ends(text: str, end: int) -> bool:
    after = text[end : end + 1]
    return not (after < _FIRST_WITHOUT_SPACES and (after.isalnum() or after == "_"))


def _end_with_letters(text: str, begin: int, context: Context) -> int:
    """Return where a number that begins at a place ends, 0 if none does."""
    for name, form in _WITH_LETTERS.items():
        found = form.match(text, begin)
        if not found or not _ends(text, found.end()):
            continue
        topic = context.near(begin, found.end())
        if topic is not Topic.ID and (topic is Topic.OTHER or name in _NEEDS_WORD):
            continue
        if name == "es.dni" and topic is not Topic.ID and " " in found[0]:
            continue
        if name == "cl.rut" and topic is not Topic.ID and "." not in found[0]:
            continue
        number = found[0].upper()
        if _passes(name, number if name == "fi.hetu" else _SIGNS.sub("", number)):
            return found.end()
    return 0
