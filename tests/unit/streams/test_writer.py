"""Redis may be away, slow or emptied: a job never notices, and nothing is lost for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
import redis

from aifeature.services.streams.writer import PAUSE_S, DeltaSink, JobStream, StreamWriter


class Store:
    """Stands in for a Redis client: notes what is written, and fails as a test wants it."""

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
    """Writes only when a test says so."""

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


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


JOB = UUID(int=7)


def test_all_jobs_share_a_round_trip_and_each_entry_continues_the_last() -> None:
    store = Store()
    writer = Idle(store)
    with writer.open(JOB, 1, "t") as one, writer.open(uuid4(), 1, "t") as two:
        for stream in (one, two):
            take = sink(stream)
            take('{"t": "a')
            take("b")
        writer.flush()
        assert (store.trips, len(store.streams)) == (1, 2)
        assert len(store.expires) == 2
        writer.flush()
        assert store.trips == 1, "nothing new, nothing written"


def test_a_second_answer_is_another_attempt_from_the_start() -> None:
    store = Store()
    writer = Idle(store)
    with writer.open(JOB, 1, "t") as stream:
        for text in ("ab", "cd"):
            take = sink(stream)
            take('{"t": "' + text)
            writer.flush()
        empty = sink(stream)
        empty('{"other": ')
        take("e")
        writer.flush()
    assert entries(store) == [(1, 0, "ab"), (2, 0, "cd"), (2, 2, "e")]
    assert store.expires == [f"aif:stream:{JOB}:1"] * 2


def test_what_redis_lost_is_written_once_more_as_a_whole() -> None:
    store = Store()
    writer = Idle(store)
    with writer.open(JOB, 1, "t") as stream:
        take = sink(stream)
        take('{"t": "ab')
        writer.flush()
        store.streams.clear()
        take("cd")
        writer.flush()
        writer.flush()
    assert entries(store) == [(1, 0, "abcd")]


def test_an_outage_raises_nothing_is_logged_once_and_made_up_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Store()
    writer = Idle(store)
    with writer.open(JOB, 1, "t") as stream:
        take = sink(stream)
        take('{"t": "ab')
        writer.flush()
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


def test_what_is_over_while_redis_is_away_is_forgotten() -> None:
    store = Store()
    writer = Idle(store)
    store.error = redis.TimeoutError("slow")
    for _ in range(5):
        with writer.open(uuid4(), 1, "t") as stream:
            take = sink(stream)
            take('{"t": "ab')
    writer.flush()
    assert writer._dirty == {}


def test_a_slow_redis_holds_no_job_up_and_a_job_that_stalls_holds_no_text_back() -> None:
    store = Store()
    store.slow.clear()
    writer = StreamWriter(cast("redis.Redis", store))
    with writer.open(JOB, 1, "t") as stream:
        take = sink(stream)

        def job() -> None:
            take('{"t": "x')
            wait_until(lambda: store.trips == 1)  # Redis has been asked, and does not answer
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


def test_a_feature_that_streams_nothing_costs_nothing() -> None:
    with Idle(Store()).open(JOB, 1, None) as stream:
        assert stream.sink() is None


def test_only_confirmed_text_of_the_latest_call_counts_as_delivered() -> None:
    store = Store()
    writer = Idle(store)
    with writer.open(JOB, 1, "t") as stream:
        take = sink(stream)
        take('{"t": "ab')
        writer.flush()
        store.error = redis.TimeoutError("slow")
        take("cd")
        writer.flush()
        assert stream.delivered() == "ab", "the rest was written, and nobody confirmed it"
        sink(stream)
        assert stream.delivered() == "", "the next call has shown nothing yet"


def test_text_lost_by_redis_was_delivered_all_the_same() -> None:
    store = Store()
    writer = Idle(store)
    with writer.open(JOB, 1, "t") as stream:
        take = sink(stream)
        take('{"t": "ab')
        writer.flush()
        store.streams.clear()
        take("cd")
        writer.flush()  # the stream is gone: nothing of this batch was stored
        assert stream.delivered() == "ab"


def test_text_on_its_way_to_redis_is_not_delivered_yet() -> None:
    writer = Idle(Store())
    with writer.open(JOB, 1, "t") as stream:
        take = sink(stream)
        take('{"t": "ab')
        writer.flush()
        take("cd")
        assert stream.batch() is not None
        assert stream.delivered() == "ab"


def test_a_confirmation_that_comes_late_takes_nothing_back() -> None:
    writer = Idle(Store())
    with writer.open(JOB, 1, "t") as stream:
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


def test_of_a_second_answer_nothing_is_delivered_before_redis_has_any() -> None:
    writer = Idle(Store())
    with writer.open(JOB, 1, "t") as stream:
        sink(stream)('{"t": "a long first answer')
        writer.flush()
        sink(stream)('{"t": "b')
        assert stream.delivered() == ""


def test_delivered_text_holds_nothing_that_no_column_takes() -> None:
    writer = Idle(Store())
    with writer.open(JOB, 1, "t") as stream:
        sink(stream)(r'{"t": "a\u0000b\ud800c')
        writer.flush()
        assert stream.delivered() == "a�b�c"


def test_a_late_confirmation_of_an_earlier_answer_counts_for_nothing() -> None:
    store = Store()
    writer = Idle(store)
    with writer.open(JOB, 1, "t") as stream:
        sink(stream)('{"t": "a long first answer')
        first = stream.batch()
        assert first is not None
        sink(stream)('{"t": "b')
        stream.acknowledge(first)
        assert stream.delivered() == ""


def test_text_is_no_longer_sent_once_the_delivered_part_is_known() -> None:
    store = Store()
    writer = Idle(store)
    with writer.open(JOB, 1, "t") as stream:
        take = sink(stream)
        take('{"t": "ab')
        writer.flush()
        take("cd")
        assert stream.delivered() == "ab"
    writer.flush()
    assert entries(store) == [(1, 0, "ab")]
