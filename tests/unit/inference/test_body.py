"""Reading a body: events, encodings, and limits that hold for any bytes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.inference.answer import Answer
from workers.inference.body import (
    EncodingError,
    Form,
    TooLargeError,
    answer_limit,
    decompressed,
    events,
    opened,
    stream_limit,
    within,
)
from workers.inference.surrogates import Joiner
from workers.inference.usage import TokenBound, UsageReport

LIMIT = 10_000


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@given(
    sent=st.lists(
        st.tuples(
            st.text("abc_", min_size=1, max_size=5),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n")),
        ),
        max_size=5,
    ),
    size=st.integers(1, 7),
)
def test_events_are_read_however_they_are_cut(
    end: str, sent: list[tuple[str, str]], size: int
) -> None:
    text = "".join(f"event: {name}{end}data: {data}{end}{end}" for name, data in sent)
    assert list(events(pieces(text.encode(), size), limit=LIMIT)) == sent


def test_comments_unknown_fields_and_an_event_without_an_end_are_passed_over() -> None:
    text = b"\xef\xbb\xbfdata: 1\ndata:2\n\n: ping\n\nid: 7\nnew\n\nretry: x\ndata:  3\n\ndata: 4\n"
    assert list(events([text], limit=LIMIT)) == [("", "1\n2"), ("", " 3")]


@pytest.mark.parametrize("line", [b"data: x\n", b": x\n", b"x"], ids=["lines", "comments", "line"])
def test_an_event_that_does_not_end_is_given_up_at_its_limit(line: bytes) -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        for chunk in repeat(line, 50 * LIMIT):  # more than any limit, yet not for ever
            read += len(chunk)
            yield chunk

    with pytest.raises(TooLargeError):
        list(events(endless(), limit=LIMIT))
    assert read <= 2 * LIMIT


def test_a_body_is_given_up_at_its_limit() -> None:
    assert b"".join(within([b"x" * 5, b"y" * 5], 10)) == b"xxxxxyyyyy"
    with pytest.raises(TooLargeError):
        list(within(repeat(b"x", 99), 10))


@given(data=st.binary(max_size=200), size=st.integers(1, 50))
def test_an_accepted_encoding_is_decompressed(data: bytes, size: int) -> None:
    for encoding, packed in (
        ("gzip", gzip.compress(data)),
        (" GZip ", gzip.compress(data)),
        ("x-gzip", gzip.compress(data)),
        ("identity", data),
        ("", data),
    ):
        assert b"".join(decompressed(pieces(packed, size), encoding)) == data


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip", "x"])
def test_an_encoding_that_is_not_accepted_is_refused(encoding: str) -> None:
    with pytest.raises(EncodingError, match="not requested"):
        list(decompressed([b"x"], encoding))


def test_the_limits_leave_room_for_the_longest_answers() -> None:
    assert answer_limit(128_000) > 128_000 * 100
    assert stream_limit(1) > answer_limit(1)


def test_the_text_of_an_answer_has_a_limit_of_its_own() -> None:
    answer = Answer(TokenBound(prompt=100, output=100), max_text=10)
    start = {"message": {"model": "m", "usage": {"input_tokens": 5}}}
    answer.read_event("message_start", json.dumps(start))
    piece = json.dumps({"delta": {"type": "text_delta", "text": "x" * 6}})
    answer.read_event("content_block_delta", piece)
    with pytest.raises(TooLargeError):
        answer.read_event("content_block_delta", piece)


def test_counts_that_are_missing_are_not_taken_for_zero() -> None:
    report = UsageReport(TokenBound(prompt=100, output=100))
    report.read({"input_tokens": 5, "output_tokens": 1}, final=False)
    report.read({"input_tokens": 5}, final=True)
    assert report.problem(wrote=False) == "no output_tokens was reported"


@given(text=st.text(st.characters()), size=st.integers(1, 5))
def test_joined_text_holds_no_half_of_a_character(text: str, size: int) -> None:
    joiner = Joiner()
    units = text.encode("utf-16-le", "surrogatepass")
    parts = [part.decode("utf-16-le", "surrogatepass") for part in pieces(units, 2 * size)]
    joined = "".join(map(joiner.feed, parts)) + joiner.end()
    joined.encode()
    whole = Joiner()
    assert joined == whole.feed(text) + whole.end()


BEGINNINGS: dict[bytes, Form] = {
    b"event: ping\n\n": "events",
    b"data: 1\n\n": "events",
    b"retry: 1\n\n": "events",
    b"id: 1\n\n": "events",
    b": ping\n\n": "events",
    b"\xef\xbb\xbfdata: 1\n\n": "events",
    b' \r\n{"a": 1}': "message",
    b"\n\nevent: ping\n\n": "events",
    b"<html>": "neither",
    b"evening: 1": "neither",
    b"[]": "neither",
    b"eve": "unknown",
    b" \n": "unknown",
    b"": "unknown",
}


@pytest.mark.parametrize(("sent", "form"), BEGINNINGS.items())
@pytest.mark.parametrize("size", [1, 2, 3, 5, 99])
def test_the_kind_of_a_body_is_found_in_any_pieces(sent: bytes, form: Form, size: int) -> None:
    found, rest = opened(pieces(sent, size))
    assert (found, b"".join(rest)) == (form, sent.lstrip())


def test_a_body_is_not_waited_for_once_it_is_known_to_be_neither() -> None:
    def sent() -> Iterator[bytes]:
        yield b"<"
        raise AssertionError

    assert opened(sent())[0] == "neither"
