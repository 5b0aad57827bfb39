from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Callable
from urllib.parse import quote

import pytest

from aifeature.services.guards import leaks
from aifeature.services.guards.leaks import Leaks

SECRET = "a-deployment"
CANARY = leaks.canary(SECRET)
WORD = CANARY.removeprefix("ref-")
FOUND = Leaks(SECRET)

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "capital letters": str.upper,
    "spaced": " ".join,
    "punctuation": "-. ".join,
    "zero-width": "\u200b".join,
    "marks": "\u0301".join,
    "full-width": lambda text: "".join(chr(ord(char) + 0xFEE0) for char in text),
    "reversed": lambda text: text[::-1],
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "rot13 reversed": lambda text: codecs.encode(text, "rot13")[::-1],
    "hex": lambda text: text.encode().hex(),
    "hex with colons": lambda text: text.upper().encode().hex(":"),
    "escapes": lambda text: "".join(f"\\x{ord(char):02x}" for char in text),
    "url": lambda text: "".join(f"%{ord(char):02X}" for char in text),
    "lines": lambda text: "\n".join(re.findall(".{1,5}", text)),
    "bold pieces": lambda text: "**".join(re.findall(".{1,3}", text)),
}


def test_canary_is_stable_per_deployment() -> None:
    assert leaks.canary(SECRET) == CANARY != leaks.canary("another")
    assert re.fullmatch("ref-[a-z]{24}", CANARY)
    assert leaks.line(SECRET).endswith(CANARY)


@pytest.mark.parametrize("form", FORMS)
def test_the_canary_is_found(form: str) -> None:
    for word in (CANARY, WORD[6:19]):
        assert FOUND.find(f"Some words, {FORMS[form](word)} and more of them."), word


@pytest.mark.parametrize("before", range(6))
def test_base64_is_found_at_each_alignment(before: int) -> None:
    code = base64.b64encode(b"x" * before + CANARY.encode() + b" and more").decode()
    half = base64.b64encode(b"x" * before + WORD[3:18].encode()).decode()
    for text in (code, code.rstrip("="), quote(code), "\n".join(re.findall(".{1,7}", code)), half):
        assert FOUND.find(f"Here it is: {text}")


def test_a_split_over_fields_is_found() -> None:
    assert FOUND.find_in({"summary": f"So {WORD[:9]}", "facts": [f"-{WORD[9:16]}", 3, "."]})
    assert not FOUND.find_in({"summary": f"So {WORD[:9]}", "facts": ["nothing else"]})


def test_other_text_is_no_leak() -> None:
    text = "The parcel for Lisbon was sent on 3 March (ref-2031), 4111 1111 1111 1111, " * 30
    other = leaks.canary("another") + base64.b64encode(text.encode()).decode() + "0f" * 200
    assert not FOUND.find(text + other)
    assert not FOUND.find(f"{WORD[:8]} and {WORD[16:]}")


def test_the_beginning_of_a_leak_is_held_back() -> None:
    for form in (str, str.upper, " ".join, lambda text: text[::-1]):
        text = f"The word is {form(WORD)[:13]}"
        kept = text[: FOUND.growing(text)]
        assert len(re.sub(r"\W", "", kept)) <= len("Thewordis") + 3
    assert FOUND.growing("The words are") == len("The words are")
