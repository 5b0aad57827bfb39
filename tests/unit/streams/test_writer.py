"""A job runs on while Redis is away, slow or emptied, and its text is written later."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
import redis

from aifeature.services.streams.writer import PAUSE_S, DeltaSink, JobStream, StreamWriter


class Store:
    """A Redis client that stores its entries, and fails as a test wants it."""

    def __init__(self) -> None:
        self.streams: dict[str, list[dict[str, Any]]] = {}
        self.expires: list[str] = []
        self.trips = 0
        self.error: Exception | None = None
        self.slow = threading.Event()
        self.slow.set()
        self._queued: list[tuple[str, Any]] = []

    def pipeline(self, *, transaction: bool) -> Store:
        assert not transaction
        self._queued = []
        return self

    def xadd(self, name: str, fields: dict[str, Any], *, maxlen: int, nomkstream: bool) -> None:
        self._queued.append(("xadd", (name, fields, nomkstream)))

    def expire(self, name: str, _: int) -> None:
        self._queued.append(("expire", name))

    def execute(self) -> list[Any]:
        self.trips += 1
        assert self.slow.wait(60)
        if self.error is not None:
            raise self.error
        return [self._do(kind, what) for kind, what in self._queued]

    def _do(self, kind: str, what: Any) -> Any:
        if kind == "expire":
            self.expires.append(what)
            return 1
        name, fields, must_exist = what
        if must_exist and name not in self.streams:
            return None
        self.streams.setdefault(name, []).append(fields)
        return b"1-0"


class Idle(StreamWriter):
    """Writes only when a test calls `flush`."""

    def __init__(self, store: Store) -> None:
        self.now = 100.0
        super().__init__(cast("redis.Redis", store), clock=lambda: self.now)

    def _changed(self, stream: JobStream) -> None:
        self._dirty[stream.name] = stream


def entries(store: Store) -> list[tuple[int, int, str]]:
    (found,) = store.streams.values()
    return [(e["attempt"], e["offset"], e["text"]) for e in found]


def sink(stream: JobStream) -> DeltaSink:
    found = stream.sink()
    assert found is not None
    return found


def begun(writer: Idle, stream: JobStream, text: str = "ab") -> DeltaSink:
    """Begin an answer whose first text is written to Redis."""
    take = sink(stream)
    take('{"t": "' + text)
    writer.flush()
    return take


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


JOB = UUID(int=7)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def writer(store: Store) -> Idle:
    return Idle(store)


@pytest.fixture
def stream(writer: Idle) -> Iterator[JobStream]:
    with writer.open(JOB, 1, "t") as stream:
        yield stream


def test_all_jobs_share_a_round_trip_and_each_entry_continues_the_last(
    store: Store, writer: Idle, stream: JobStream
) -> None:
    with writer.open(uuid4(), 1, "t") as other:
        for each in (stream, other):
            take = sink(each)
            take('{"t": "a')
            take("b")
        writer.flush()
        assert (store.trips, len(store.streams)) == (1, 2)
        assert len(store.expires) == 2
        writer.flush()
        assert store.trips == 1, "nothing new, nothing written"


def test_a_second_answer_is_another_attempt_from_the_start(
    store: Store, writer: Idle, stream: JobStream
) -> None:
    begun(writer, stream, "ab")
    take = begun(writer, stream, "cd")
    sink(stream)('{"other": ')
    take("e")
    writer.flush()
    assert entries(store) == [(1, 0, "ab"), (2, 0, "cd"), (2, 2, "e")]
    assert store.expires == [f"aif:stream:{JOB}:1"] * 2


def test_text_that_redis_lost_is_written_again_as_a_whole(
    store: Store, writer: Idle, stream: JobStream
) -> None:
    take = begun(writer, stream)
    store.streams.clear()
    take("cd")
    writer.flush()
    writer.flush()
    assert entries(store) == [(1, 0, "abcd")]


def test_an_outage_raises_nothing_is_logged_once_and_made_up_for(
    store: Store, writer: Idle, stream: JobStream, caplog: pytest.LogCaptureFixture
) -> None:
    take = begun(writer, stream)
    store.error = redis.ConnectionError("away")
    for _ in range(3):
        take("c")
        writer.flush()
    assert store.trips == 2, "after a failure Redis is left alone for a while"
    writer.now += PAUSE_S
    writer.flush()
    assert store.trips == 3
    own = [r for r in caplog.records if r.thread == threading.get_ident()]
    assert [r.levelname for r in own] == ["WARNING"], "other threads may have theirs"
    store.error = None
    writer.now += PAUSE_S
    writer.flush()
    assert entries(store) == [(1, 0, "ab"), (1, 0, "abccc")]


def test_a_stream_that_ends_while_redis_is_away_is_forgotten(store: Store, writer: Idle) -> None:
    store.error = redis.TimeoutError("slow")
    for _ in range(5):
        with writer.open(uuid4(), 1, "t") as stream:
            sink(stream)('{"t": "ab')
    writer.flush()
    assert writer._dirty == {}


def test_a_slow_redis_holds_no_job_up_and_a_job_that_stalls_holds_no_text_back(
    store: Store,
) -> None:
    store.slow.clear()
    writer = StreamWriter(cast("redis.Redis", store))
    with writer.open(JOB, 1, "t") as stream:
        take = sink(stream)

        def job() -> None:
            take('{"t": "x')
            wait_until(lambda: store.trips == 1)  # Redis has the request, and does not answer
            for _ in range(999):
                take("x")

        running = threading.Thread(target=job, daemon=True)
        running.start()
        running.join(20)
        held_up = running.is_alive()
        store.slow.set()
        assert not held_up
        # No further piece comes, and yet the text gets there.
        wait_until(
            lambda: sum(len(e["text"]) for all_ in store.streams.values() for e in all_) == 1_000
        )


def test_a_feature_that_streams_nothing_costs_nothing(writer: Idle) -> None:
    with writer.open(JOB, 1, None) as stream:
        assert stream.sink() is None


def test_only_confirmed_text_of_the_latest_call_counts_as_delivered(
    store: Store, writer: Idle, stream: JobStream
) -> None:
    take = begun(writer, stream)
    store.error = redis.TimeoutError("slow")
    take("cd")
    writer.flush()
    assert stream.delivered() == "ab", "the rest was written, and not confirmed"
    sink(stream)
    assert stream.delivered() == "", "the next call has shown nothing yet"


def test_text_lost_by_redis_was_delivered_all_the_same(
    store: Store, writer: Idle, stream: JobStream
) -> None:
    take = begun(writer, stream)
    store.streams.clear()
    take("cd")
    writer.flush()  # the stream is gone: nothing of this batch was stored
    assert stream.delivered() == "ab"


def test_text_on_its_way_to_redis_is_not_delivered_yet(writer: Idle, stream: JobStream) -> None:
    begun(writer, stream)("cd")
    assert stream.batch() is not None
    assert stream.delivered() == "ab"


def test_a_confirmation_that_comes_late_takes_nothing_back(stream: JobStream) -> None:
    take = sink(stream)
    take('{"t": "ab')
    first = stream.batch()
    take("cd")
    second = stream.batch()
    assert first is not None
    assert second is not None
    stream.acknowledge(second)
    stream.acknowledge(first)
    assert stream.delivered() == "abcd"


def test_no_text_of_a_second_answer_is_delivered_before_redis_has_any(
    writer: Idle, stream: JobStream
) -> None:
    begun(writer, stream, "a long first answer")
    sink(stream)('{"t": "b')
    assert stream.delivered() == ""


def test_delivered_text_holds_nothing_that_no_column_takes(writer: Idle, stream: JobStream) -> None:
    begun(writer, stream, r"a\u0000b\ud800c")
    assert stream.delivered() == "a\ufffdb\ufffdc"


def test_a_late_confirmation_of_an_earlier_answer_counts_for_nothing(stream: JobStream) -> None:
    sink(stream)('{"t": "a long first answer')
    first = stream.batch()
    assert first is not None
    sink(stream)('{"t": "b')
    stream.acknowledge(first)
    assert stream.delivered() == ""


def test_text_is_no_longer_sent_once_the_delivered_part_is_known(
    store: Store, writer: Idle
) -> None:
    with writer.open(JOB, 1, "t") as stream:
        begun(writer, stream)("cd")
        assert stream.delivered() == "ab"
    writer.flush()
    assert entries(store) == [(1, 0, "ab")]


class Loud:
    """A guard that passes on capital letters, and keeps its last character back."""

    def __init__(self) -> None:
        self._kept = ""

    def feed(self, piece: str) -> str:
        text = self._kept + piece
        self._kept = text[-1:]
        return text[:-1].upper()


def test_each_call_has_a_guard_of_its_own(store: Store, writer: Idle) -> None:
    """Text of the first call that waits for its guard is not shown with the second one."""
    with writer.open(JOB, 1, "t", Loud) as stream:
        sink(stream)('{"t": "first')
        writer.flush()
        sink(stream)('{"t": "later')
        sink(stream)('{"t": "second')
        writer.flush()
    assert [text for _, _, text in entries(store)] == ["FIRS", "SECON"]
