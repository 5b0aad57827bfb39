"""A reader ends with the stored text after each loss, repetition or restart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeature.services.streams.cursor import Cursor, Position, TextEvent, read_position
from aifeature.services.streams.entries import Entry, read
from aifeature.services.streams.live_text import LiveText


class Page:
    """The text that a client shows, and the id with which it would reconnect."""

    def __init__(self) -> None:
        self.text = ""
        self.position: Position | None = None

    def take(self, event: TextEvent | None) -> None:
        if event is None:
            return
        self.text = event.text if event.kind == "reset" else self.text + event.text
        self.position = event.position


ENTRIES = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.text(min_size=1, max_size=4)),
        st.sampled_from(["anew", "lost", "whole", "look", "reconnect", "late", "epoch"]).map(
            lambda name: (name, "")
        ),
    ),
    max_size=40,
)


@given(steps=ENTRIES, stored_as_written=st.booleans())
def test_the_page_ends_with_the_stored_text(
    steps: list[tuple[str, str]], stored_as_written: bool
) -> None:
    live, page, cursor = LiveText(1, primed=True), Page(), Cursor()
    cursor.follow(live)
    attempt, text = 1, ""
    for step, piece in steps:
        match step:
            case "write":
                live.take(Entry(attempt, len(text), piece))
                text += piece
            case "lost":
                text += "x"
            case "anew":
                attempt, text = attempt + 1, ""
            case "whole":
                live.take(Entry(attempt, 0, text))
            case "look":
                page.take(cursor.next())
            case "late":
                live.primed = not live.primed
            case "reconnect":
                cursor = Cursor(page.position)
                cursor.follow(live)
            case "epoch":
                live = LiveText(live.epoch + 1, primed=True)
                attempt, text = 1, ""
                cursor.follow(live)
    page.take(cursor.next())
    stored = text if stored_as_written else "something else"
    page.take(cursor.end(stored, live.epoch))
    assert page.text == stored


@given(pieces=st.lists(st.text(min_size=1), min_size=1), cut=st.integers(0, 50))
def test_a_reader_that_reconnects_gets_only_the_rest(pieces: list[str], cut: int) -> None:
    live = LiveText(3, primed=True)
    for piece in pieces:
        live.take(Entry(1, len(live.text), piece))
    have = min(cut, len(live.text))
    cursor = Cursor(Position(3, have))
    cursor.follow(live)
    event = cursor.next()
    rest = live.text[have:]
    assert event == (TextEvent("delta", rest, Position(3, len(live.text))) if rest else None)
    assert cursor.end(live.text, 3) is None


def test_a_claim_sends_nothing_before_its_text_is_read() -> None:
    live = LiveText(3)
    cursor = Cursor(Position(3, 5))
    cursor.follow(live)
    assert cursor.next() is None
    assert not cursor.settled
    assert cursor.end("stored", 3) == TextEvent("reset", "stored", Position(3, 6))


def test_an_entry_whose_beginning_is_missing_is_left_out() -> None:
    live = LiveText(1)
    live.take(Entry(1, 0, "abc"))
    live.take(Entry(1, 5, "fgh"))
    assert live.text == "abc"
    live.take(Entry(2, 4, "later answer"))
    assert (live.text, live.version) == ("abc", 0)
    live.take(Entry(1, 0, "abcdefgh"))
    assert (live.text, live.version) == ("abcdefgh", 0)
    live.take(Entry(1, 0, "abc"))
    assert live.text == "abcdefgh"


@pytest.mark.parametrize(
    ("event_id", "position"),
    [("3-12", Position(3, 12)), (" 3-12 ", Position(3, 12)), ("3", None), ("a-b", None)],
)
def test_reads_positions(event_id: str, position: Position | None) -> None:
    assert read_position(event_id) == position
    assert str(Position(3, 12)) == "3-12"


def test_entries_survive_the_way_through_redis() -> None:
    entry = Entry(2, 7, "🎉\n")
    raw = {k.encode(): str(v).encode() for k, v in entry.fields().items()}
    assert read(raw) == entry
    with pytest.raises(ValueError, match="text"):
        read({b"other": b"x"})
