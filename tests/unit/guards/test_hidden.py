# ruff: noqa: RUF001

from __future__ import annotations

import unicodedata

import pytest

from aifeature.services.guards import hidden

FLAG_OF_WALES = "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f"
FAMILY = "\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize(
    ("text", "shown", "suspicious"),
    [
        ("plain", "plain", 0),
        ("a\r\nb\rc\td", "a\nb\nc\td", 0),
        ("\ufeffwith a mark\ufeff", "with a mark", 0),
        ("Daten\u00adschutz", "Datenschutz", 0),
        ("a\0b\x1bc\x7f", "abc", 3),
        ("ig\u200bno\u2060re", "ignore", 2),
        ("safe\u202etxt.exe", "safetxt.exe", 1),
        ("i\ufe01\U000e0141", "i", 2),
        ("x" + "".join(chr(0xE0000 + ord(letter)) for letter in "hide"), "x", 4),
        ("\U000f1234\ufdd0\ud800", "", 3),
        ("e\u0301", "é", 0),
        ("a" + "\u0301" * 99, unicodedata.normalize("NFC", "a" + "\u0301" * 30), 69),
    ],
)
def test_hidden_characters_are_removed_and_counted(text: str, shown: str, suspicious: int) -> None:
    assert hidden.clean(text) == (shown, suspicious)


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cخواهم",
        "क्\u200dष",
        FAMILY,
        "❤\ufe0f",
        "1\ufe0f\u20e3",
        FLAG_OF_WALES,
        "葛\U000e0100",
    ],
)
def test_characters_that_scripts_and_emoji_need_are_kept(text: str) -> None:
    assert hidden.clean(text) == (text, 0)


def test_cleaning_twice_changes_nothing() -> None:
    for text in ("a\u200b\u0301", "\u200d" + FAMILY + "\u200d", "\r\u2028\n", FLAG_OF_WALES * 2):
        once, _ = hidden.clean(text)
        assert hidden.clean(once) == (once, 0)
