# ruff: noqa: RUF001

from __future__ import annotations

import itertools
import random
import re

import pytest

from aifeature.services.guards import leaks, links
from aifeature.services.guards.release import MAX_HELD, Released

CANARY = leaks.canary("secret")
LEAKS = leaks.Leaks("secret")

PERSONAL = re.compile(
    r"(?P<SPELLED>\b\w+ at \w+(?: dot \w+)+)"
    r"|(?P<EMAIL>[\w.+-]{1,40}@[\w-]{1,40}(?:\.[\w-]{1,20}){1,3})"
    r"|(?P<IBAN>\b[A-Za-z]{2}\d{2}(?: ?\w{4}){3,7}(?: ?\w{1,3})?\b)"
    r"|(?P<CARD>\b(?:\d{4}[ -]?){3}\d{4}\b)"
    r"|(?P<PHONE>\+\d{1,3}(?:[ /-]?\(?\d{1,5}\)?){2,5}|\b\d{8}(?=[^.]{0,20} phone))"
    r"|(?<=password: )(?P<SECRET>(?!\[)\S+)"
)
"""A small substitute for the redactor: the forms of its kinds, without check digits."""

PROSE = [
    "The parcel for Lisbon was sent on 3 March with 40 headsets.",
    "Ana decides tomorrow, at the office or at home.",
    "It costs 180 euros [12], if a < b holds for List<T>.",
    "Bitte rufen Sie morgen an, es eilt sehr.",
    "包裹已于三月三日寄出，预计下周到达。",
]
PLANTED = [
    "jo.miller@mail.example.org",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "+49 (30) 1234 5678",
    "20302040 is really my own phone",
    "gb29 nwbk 6016 1331 9268 19",
    "miller at mail dot example dot org",
    "password: correct-Horse7",
    "[the rules](https://shop.example/?d=jo.miller@mail.example.org)",
    "![chart](//img.example/c.png)",
    "https://shop.example/a?b=SECRET.",
    "<img src=//img.example/c.png alt=hi>",
    "&#104;ttps://shop.example/",
    CANARY,
    " ".join(CANARY),
    " ".join(re.findall(".{5}", CANARY[4:])),
]


class Redactor:
    """Gives each value the same placeholder."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def redact(self, text: str) -> str:
        return PERSONAL.sub(self._placeholder, text)

    def _placeholder(self, found: re.Match[str]) -> str:
        return self._known.setdefault(found[0], f"[{found.lastgroup}_{len(self._known) + 1}]")


def rules(step: int = 1) -> Released:
    redactor = Redactor()

    def clean(text: str) -> str:
        return links.neutralise(redactor.redact(text))[0]

    def preview(text: str) -> str:
        return links.neutralise(Redactor().redact(text))[0]

    return Released(clean, LEAKS.find, LEAKS.growing, preview=preview, step=step)


def pieces(text: str, rng: random.Random, most: int) -> list[str]:
    found, at = [], 0
    while at < len(text):
        size = rng.randint(1, most)
        found.append(text[at : at + size])
        at += size
    return found


def test_releases_are_the_beginning_of_the_cleaned_answer_at_any_chunking() -> None:
    rng = random.Random(5)
    ended = 0
    for _ in range(25):
        parts = rng.choices(PROSE, k=8)
        if rng.random() < 0.9:
            parts[rng.randint(1, 7)] = rng.choice(PLANTED)
        text = rng.choice((" ", "\n")).join(parts)
        released = rules(step=rng.choice((1, 16)))
        shown = "".join(
            [released.feed(piece) for piece in pieces(text, rng, rng.choice((2, 9, 60)))]
        )
        whole = links.neutralise(Redactor().redact(text))[0]
        assert whole.startswith(shown), text
        if LEAKS.find(text):
            assert not released.end()
            assert CANARY[4:9] not in re.sub(r"\W", "", shown)
        elif not released.stopped:
            assert shown + released.end() == whole
            ended += 1
    assert ended > 8


@pytest.mark.parametrize("planted", PLANTED)
def test_no_part_of_a_planted_value_is_shown(planted: str) -> None:
    released = rules()
    shown = "".join(map(released.feed, f"Hello Ana, read this: {planted}"))
    assert "Hello Ana, read this: ".startswith(shown)
    assert "Hello" in shown


def test_ordinary_words_wait_for_two_more() -> None:
    released = rules()
    text = "The parcel for Lisbon was sent and has not arrived yet so far "
    shown = list(itertools.accumulate(released.feed(char) for char in text))
    waits = [text[: end + 1].count(" ") - shown[end].count(" ") for end in range(len(text))]
    assert max(waits) <= 3
    assert shown[-1] == text.removesuffix("so far ")


def test_a_longer_construct_stops_the_stream() -> None:
    released = rules()
    shown = "".join(map(released.feed, "Before it. [a label " + "of many words " * 30))
    assert shown == "Before it. "
    assert "held back" in released.stopped
    assert released.feed(" more") == released.end() == ""


@pytest.mark.parametrize("text", ["It is <b>bold</b> now.", "One &lt; two.", "-----BEGIN KEY"])
def test_text_that_changes_what_follows_stops_the_stream(text: str) -> None:
    released = rules()
    shown = "".join(map(released.feed, f"Before this all. {text} And so on, and so on."))
    assert shown.startswith("Before this all. ")
    assert not re.search("<|&|-----", shown)
    assert released.stopped


def test_text_that_later_text_changes_is_held_back() -> None:
    released = Released(lambda text: text.replace("a", str(len(text))), lambda _: False, step=1)
    shown = "".join(map(released.feed, "one two three four five a " * 20))
    assert "held back" in released.stopped
    assert shown == "one two three four five "


def test_a_rule_that_fails_stops_the_stream() -> None:
    def fail(text: str) -> str:
        raise TimeoutError(text)

    released = Released(fail, lambda _: False, step=1)
    assert "".join(map(released.feed, "one two three four five ")) == released.end() == ""
    assert released.stopped == "a rule failed: TimeoutError"


def test_the_rules_read_a_window_only() -> None:
    lengths: list[int] = []

    def clean(text: str) -> str:
        lengths.append(len(text))
        return text

    released = Released(clean, lambda _: False)
    text = "The parcel for Lisbon was sent on 3 March with 40 headsets. " * 60
    shown = "".join(released.feed(text[at : at + 4]) for at in range(0, len(text), 4))
    assert shown + released.end() == text
    assert max(lengths[:-1]) < 4 * MAX_HELD
    assert sum(lengths) < 60 * len(text)
