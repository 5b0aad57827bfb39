"""IPv4 and IPv6 addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from aifeature.personal_data.context import Context, Topic
from aifeature.personal_data.kinds import Kind, Match
from aifeature.personal_data.views import View

_DOTTED: Final = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")
_V4: Final = re.compile(
    r"(?<![0-9a-z_.])(?<![0-9][,-])(?<![a-z]/)(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
    r"(?:\.(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}(?![0-9a-z_]|\.[0-9])"
)
_V6: Final = re.compile(
    r"(?<![0-9a-z_:.])(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})?"
    r"(?:%[0-9a-z]{1,15})?(?![0-9a-z_:])"
)
_AFTER_WORD: Final = r"[\s:=.,\"'#(-]{0,4}(?:to|von|from|auf|is|ist)?\s?$"
_VERSION_BEFORE: Final = re.compile(
    r"(?:(?<![a-z])(?:v|rv|ver|version\w*|versión|versão|versione|wersja|версия|firmware|fw"
    r"|sdk|revision|rev|section|sections|sec|chapter|kapitel|abschnitt|abs"
    r"|clause|paragraph|figure|article|artikel|table|step|ausgabe|sección|chapitre|capítulo|nuget|npm"
    r"|pip|package|assembly|assemblyversion|fileversion|dll)|版本|版|バージョン|버전|§)"
    + _AFTER_WORD
)
_SMALL_BEFORE: Final = re.compile(
    r"(?<![^\W_])(?:release|build|update|upgrade|patch|driver|raum|zimmer|room|salle|sala|aula|pokój|kamer"
    r"|level|stufe|ebene|tier|niveau|nivel|grade|lesson|lektion|unit|module|modul|question|frage|aufgabe"
    r"|exercise|übung|part|teil|punkt|position|pos|item|nr|no)" + _AFTER_WORD
)
"""Words before a version or a number of a place. Both begin with a small number."""
_SMALL: Final = 32
_PAIRS: Final = re.compile(r"[0-9]{2}(?:\.[0-9]{2}){3}")
"""A phone number is written so in some countries."""
_HARMLESS: Final = re.compile(r"0\.|127\.|255\.")
_LEAST_V6_GROUPS: Final = 2


def find(view: View) -> Iterator[Match]:
    """Yield the addresses of a view. Loopback addresses, netmasks and versions are none."""
    text, context = view.lower, Context(view)
    if text.count(".") >= 3:  # noqa: PLR2004
        for dotted in _DOTTED.finditer(text):
            found = _V4.match(text, dotted.start())
            if found is None:
                continue
            before = text[max(0, found.start() - 32) : found.start()]
            if not (
                (_PAIRS.fullmatch(found[0]) and context.before(found.start()) is Topic.PHONE)
                or _HARMLESS.match(found[0])
                or _VERSION_BEFORE.search(before)
                or (int(found[0].partition(".")[0]) < _SMALL and _SMALL_BEFORE.search(before))
            ):
                yield Match(*found.span(), Kind.IP_ADDRESS, found[0])
    if "::" in text or text.count(":") >= 7:  # noqa: PLR2004
        for found in _V6.finditer(text):
            address = found[0].partition("%")[0]
            groups = [group for group in address.split(":") if group]
            if len(groups) < _LEAST_V6_GROUPS or not any(c.isdigit() for c in address):
                continue
            if "::" in address and max(map(len, groups)) < 3:  # noqa: PLR2004
                continue
            try:
                value = ipaddress.IPv6Address(address)
            except ValueError:
                continue
            yield Match(*found.span(), Kind.IP_ADDRESS, value.compressed)
