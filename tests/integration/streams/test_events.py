"""The events of readers while jobs, Redis and readers come and go."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

import pytest
import redis
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection, transaction

from aifeature.api import events, slots, stopping, waiting
from aifeature.models import Status, transitions
from aifeature.models.transitions import Claimed
from aifeature.services.streams import writer
from aifeature.services.streams.entries import key
from aifeature.services.streams.hub import hub
from aifeature.services.streams.writer import DeltaSink, JobStream
from project.asgi import application
from tests.integration.event_loop import client_of, until
from tests.integration.job_rows import MakeJob, claim
from tests.integration.streams.gate import gate
from tests.integration.streams.readers import Stream, reader, token_of

pytestmark = pytest.mark.slow

TEXT = "Refunds take 30 days. 🎉 Ünïcode \u2028 counts as one."


def play(scene: Coroutine[Any, Any, None]) -> None:
    connection.close()
    asyncio.run(scene)


def written(claimed: Claimed) -> JobStream:
    """The stream of a run that goes on."""
    return writer.JobStream(key(claimed.job, claimed.epoch), "summary", writer.process()._changed)


def begin(stream: JobStream) -> DeltaSink:
    """A call whose answer has begun."""
    sink = stream.sink()
    assert sink is not None
    sink('{"summary": "')
    return sink


@sync_to_async
def finish(claimed: Claimed, text: str | None, status: Status = Status.SUCCEEDED) -> None:
    result = {"summary": text, "key_facts": []} if text is not None else None
    code = "" if status is Status.SUCCEEDED else "output_invalid"
    transitions.finish(
        claimed, status, result=result, error_code=code, error_message="It did not work."
    )


@sync_to_async
def retry(claimed: Claimed) -> Claimed:
    transitions.return_to_queue(
        claimed, delay_s=0, counts_as_try=True, reason="provider_waiting", message="We try on."
    )
    again = transitions.claim(claimed.job, worker="w2", lease_s=15)
    connection.close()
    assert again is not None
    return again


def shows(stream: Stream, text: str) -> Callable[[], bool]:
    return lambda: stream.text == text


def test_every_reader_gets_everything_early_or_late(claimed: Claimed, token: str) -> None:
    async def scene() -> None:
        take = begin(written(claimed))
        async with reader(token, claimed.job) as early, reader(token, claimed.job) as other:
            take("Refunds take ")
            await early.until(shows(early, "Refunds take "))
            async with reader(token, claimed.job) as late:
                await late.until(shows(late, "Refunds take "))
                take("30 days.")
                for stream in (early, other, late):
                    await stream.until(shows(stream, "Refunds take 30 days."))
                await finish(claimed, "Refunds take 30 days.")
                for stream in (early, other, late):
                    await stream.end()
                    assert stream.text == "Refunds take 30 days."
                    assert stream.events[0].data == {"status": "running", "message": None}
                    assert stream.events[-1].name == "result"
                    assert stream.named("reset") == []
                    assert stream.last_id == f"{claimed.epoch}-succeeded"
                    assert f"{claimed.epoch}-21" in {event.id for event in stream.events}
                assert early.events[1].id == f"{claimed.epoch}-13"

    play(scene())


def test_a_new_reader_does_not_wait_for_others(
    claimed: Claimed, make_job: MakeJob, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aifeature.services.streams.hub.BLOCK_MS", 60_000)
    monkeypatch.setattr("aifeature.services.streams.hub.TIMEOUT_S", 90)
    second = claim(make_job())

    def waits_for_news() -> bool:
        texts = hub()._texts.values()
        return hub()._blocked and bool(texts) and all(live.primed for live in texts)

    async def scene() -> None:
        begin(written(second))("Refunds")
        async with reader(token, claimed.job) as first:
            await first.until(waits_for_news)
            async with reader(token, second.job) as other:
                await other.until(shows(other, "Refunds"))

    play(scene())


def test_the_result_event_is_the_job(claimed: Claimed, token: str, ada: User) -> None:
    client = client_of(application, ada)

    async def scene() -> None:
        await finish(claimed, TEXT)
        async with reader(token, claimed.job) as stream:
            await stream.end()
        async with client:
            job = (await client.get(f"/api/v1/jobs/{claimed.job}")).json()
        assert stream.events[-1].data == job
        assert [event.name for event in stream.events] == ["delta", "status", "result"]
        assert stream.text == TEXT

    play(scene())


@pytest.mark.parametrize("have", [1, 8, 13, 20])
def test_a_returning_reader_gets_the_missing_text(claimed: Claimed, token: str, have: int) -> None:
    async def scene() -> None:
        take = begin(written(claimed))
        take("Refunds take ")
        async with reader(token, claimed.job) as first:
            await first.until(shows(first, "Refunds take "))
            take("30 🎉 days.")
            await first.until(shows(first, "Refunds take 30 🎉 days."))
        shown = first.text[:have]
        async with reader(
            token, claimed.job, last_id=f"{claimed.epoch}-{have}", have=shown
        ) as again:
            await again.until(shows(again, first.text))
            take(" Really.")
            await finish(claimed, first.text + " Really.")
            await again.end()
        assert again.text == first.text + " Really."
        assert again.named("reset") == []
        assert "".join(data["text"] for data in again.named("delta")) == again.text[have:]

    play(scene())


def test_a_reader_who_returns_late_gets_the_missing_text(claimed: Claimed, token: str) -> None:
    async def scene() -> None:
        take = begin(written(claimed))
        take("Refunds take 30 days.")
        async with reader(token, claimed.job) as first:
            await first.until(shows(first, "Refunds take 30 days."))
        await finish(claimed, "Refunds take 30 days. Really.")
        async with reader(
            token, claimed.job, last_id=f"{claimed.epoch}-7", have="Refunds"
        ) as again:
            await again.end()
        assert again.text == "Refunds take 30 days. Really."
        assert again.named("reset") == []

    play(scene())


@pytest.mark.parametrize(
    "last_id", ["{old}-5", "{now}-999", "nonsense", "{later}-3", "{now}-99999999999999999"]
)
def test_an_unknown_event_id_resets_the_text(claimed: Claimed, token: str, last_id: str) -> None:
    epoch = claimed.epoch
    asked = last_id.format(old=epoch - 1, now=epoch, later=epoch + 1)

    async def scene() -> None:
        take = begin(written(claimed))
        take("Refunds take ")
        async with reader(token, claimed.job, last_id=asked, have="other text") as stream:
            await stream.until(shows(stream, "Refunds take "))
            take("30 days.")
            await stream.until(shows(stream, "Refunds take 30 days."))
        assert stream.named("reset") == [{"text": "Refunds take "}]

    play(scene())


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED])
def test_the_last_event_leads_to_a_204(claimed: Claimed, token: str, status: Status) -> None:
    """An EventSource reconnects after each end but a 204."""

    async def scene() -> None:
        await finish(claimed, "It is so." if status is Status.SUCCEEDED else None, status)
        async with reader(token, claimed.job) as first:
            await first.end()
        assert first.events[-1].id == first.last_id
        async with reader(token, claimed.job, last_id=first.last_id) as again:
            await again.end()
        assert (again.status, again.events) == (204, [])

    play(scene())


@pytest.mark.parametrize(
    "last_id",
    [
        *("", "{epoch}-9", "{epoch}-running", "{epoch}-needs_approval", "{later}-succeeded"),
        "succeeded",
    ],
)
def test_a_missing_last_event_is_sent(claimed: Claimed, token: str, last_id: str) -> None:
    asked = last_id.format(epoch=claimed.epoch, later=claimed.epoch + 1)

    async def scene() -> None:
        await finish(claimed, "It is so.")
        async with reader(token, claimed.job, last_id=asked) as again:
            await again.end()
        assert (again.status, again.events[-1].name) == (200, "result")
        assert again.text == "It is so." or asked.endswith("-9")

    play(scene())


def test_a_second_answer_replaces_the_first(claimed: Claimed, token: str) -> None:
    async def scene() -> None:
        stream = written(claimed)
        begin(stream)("A wrong beginning")
        async with reader(token, claimed.job) as early:
            await early.until(shows(early, "A wrong beginning"))
            begin(stream)("The right ")
            await early.until(shows(early, "The right "))
            assert early.named("reset") == [{"text": "The right "}]
            # This position could belong to either answer.
            async with reader(
                token, claimed.job, last_id=f"{claimed.epoch}-5", have="A wro"
            ) as again:
                await again.until(shows(again, "The right "))
            await finish(claimed, "The right one.")
            await early.end()
        assert early.text == "The right one."

    play(scene())


def test_a_new_run_replaces_the_text_of_the_old(claimed: Claimed, token: str) -> None:
    async def scene() -> None:
        old = begin(written(claimed))
        old("Half an ans")
        async with reader(token, claimed.job) as stream:
            await stream.until(shows(stream, "Half an ans"))
            again = await retry(claimed)
            await stream.until(shows(stream, ""))
            old("wer of a worker that lost the job")
            begin(written(again))("A whole answer.")
            await stream.until(shows(stream, "A whole answer."))
            assert stream.last_id == f"{again.epoch}-15"
            await finish(again, "A whole answer.")
            await stream.end()
        assert stream.text == "A whole answer."
        assert "lost the job" not in str(stream.events)

    play(scene())


def test_a_waiting_job_shows_its_reason(make_job: MakeJob, token: str) -> None:
    claimed = claim(make_job())

    async def scene() -> None:
        async with reader(token, claimed.job) as stream:
            await stream.until(lambda: bool(stream.named("status")))
            await sync_to_async(transitions.return_to_queue)(
                claimed, delay_s=60, counts_as_try=False, reason="budget_held", message="Wait."
            )
            await stream.until(lambda: len(stream.named("status")) == 2)
            assert stream.named("status")[-1] == {"status": "queued", "message": "Wait."}

    play(scene())


@pytest.mark.parametrize("more", [True, False], ids=["goes on", "nothing more"])
def test_after_flushall_readers_get_the_stored_text(
    claimed: Claimed, token: str, raw_redis: redis.Redis, more: bool
) -> None:
    async def scene() -> None:
        take = begin(written(claimed))
        take("Refunds take ")
        async with reader(token, claimed.job) as stream:
            await stream.until(shows(stream, "Refunds take "))
            raw_redis.flushdb()  # FLUSHALL would empty those of other test workers too
            if more:
                take("30 days.")
                await stream.until(shows(stream, "Refunds take 30 days."))
                async with reader(token, claimed.job) as late:
                    await late.until(shows(late, "Refunds take 30 days."))
            await finish(claimed, "Refunds take 30 days. Really.")
            await stream.end()
        assert stream.text == "Refunds take 30 days. Really."
        assert stream.named("reset") == []
        assert stream.events[-1].name == "result"

    play(scene())


def test_a_redis_outage_delays_only_text(claimed: Claimed, token: str, settings: Any) -> None:
    async def scene() -> None:
        async with gate(settings.REDIS_URL) as door:
            take = begin(written(claimed))
            settings.REDIS_URL = door.url
            take("Refunds ")
            async with reader(token, claimed.job) as stream:
                await stream.until(shows(stream, "Refunds "))
                await door.shut()
                away = {"status": "running", "message": events.NO_LIVE_TEXT}
                await stream.until(lambda: stream.named("status")[-1] == away)
                async with reader(token, claimed.job) as late:
                    await late.until(lambda: away in late.named("status"))
                    await late.until(shows(late, "Refunds "))  # from the memory of this process
                take("take ")
                await door.open()
                await stream.until(shows(stream, "Refunds take "))
                assert stream.named("status")[-1] == {"status": "running", "message": None}
                await door.shut()
                await finish(claimed, "Refunds take 30 days.")
                await stream.end()
                assert stream.text == "Refunds take 30 days."
                assert stream.named("reset") == []
            async with reader(
                token, claimed.job, last_id=f"{claimed.epoch}-4", have="Refu"
            ) as again:
                await again.end()
            assert again.text == "Refunds take 30 days."
            await door.open()

    play(scene())


def test_a_different_stored_text_replaces_the_live_text(claimed: Claimed, token: str) -> None:
    async def scene() -> None:
        begin(written(claimed))("Refunds take 30 days.")
        async with reader(token, claimed.job) as stream:
            await stream.until(shows(stream, "Refunds take 30 days."))
            await finish(claimed, "Refunds take thirty days.")
            await stream.end()
        assert stream.text == "Refunds take thirty days."
        assert [event.name for event in stream.events[-3:]] == ["reset", "status", "result"]

    play(scene())


def test_a_failure_is_an_error_event(claimed: Claimed, token: str) -> None:
    async def scene() -> None:
        async with reader(token, claimed.job) as stream:
            await stream.until(lambda: bool(stream.events))
            await finish(claimed, None, Status.FAILED)
            await stream.end()
        assert stream.events[-1].name == "error"
        assert stream.events[-1].data == {
            "code": "output_invalid",
            "message": "It did not work.",
            "status": "failed",
        }

    play(scene())


def test_a_stranger_gets_a_404_before_any_stream(claimed: Claimed, bob: User) -> None:
    bobs = token_of(bob)

    async def scene() -> None:
        for wanted, token, status in (
            (claimed.job, bobs, 404),
            (uuid4(), bobs, 404),
            ("x", bobs, 404),
            (claimed.job, "aif_none", 401),
        ):
            async with reader(token, wanted) as stream:
                await stream.end()
            assert stream.status == status
            assert stream.headers["content-type"] == "application/problem+json"

    play(scene())


def test_streams_of_a_user_are_limited(
    claimed: Claimed, token: str, ada: User, settings: Any
) -> None:
    settings.AIFEATURE = {**settings.AIFEATURE, "STREAMS_PER_USER": 2}

    async def scene() -> None:
        async with reader(token, claimed.job) as one, reader(token, claimed.job) as two:
            await until(lambda: bool(one.events and two.events))
            async with reader(token, claimed.job) as third:
                await third.end()
            assert third.status == 429
            assert int(third.headers["retry-after"]) > 0
        assert slots.taken(ada.pk) == 0
        async with reader(token, claimed.job) as later:
            await later.until(lambda: bool(later.events))
        assert later.status == 200

    play(scene())


def test_a_lost_reader_leaves_nothing_behind(claimed: Claimed, token: str, ada: User) -> None:
    async def scene() -> None:
        async with reader(token, claimed.job) as one, reader(token, claimed.job) as two:
            await until(lambda: bool(one.events and two.events))
            await until(lambda: hub().watched() == 1)
            assert slots.taken(ada.pk) == 2
        assert hub().watched() == 0
        assert slots.taken(ada.pk) == 0
        assert waiting.watch()._listeners == set()
        await until(lambda: hub()._task is None)
        await until(lambda: waiting.watch()._task is None)

    play(scene())


def test_a_slow_reader_delays_no_other_and_catches_up(claimed: Claimed, token: str) -> None:
    async def scene() -> None:
        take = begin(written(claimed))
        async with reader(token, claimed.job) as slow, reader(token, claimed.job) as quick:
            await until(lambda: bool(slow.events and quick.events))
            slow.hold = asyncio.Event()
            words = [f"word {number} " for number in range(20)]
            for count, word in enumerate(words, 1):
                take(word)
                await quick.until(shows(quick, "".join(words[:count])))
            slow.hold.set()
            await slow.until(shows(slow, "".join(words)))
            assert len(slow.named("delta")) < 4
            assert len(quick.named("delta")) > 10

    play(scene())


def test_an_idle_stream_has_heartbeats(
    claimed: Claimed, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.02)

    async def scene() -> None:
        running = f"{claimed.epoch}-running"  # the last event of no job
        async with reader(token, claimed.job, last_id=running) as stream:
            await stream.until(lambda: len(stream.comments) > 3)
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        assert not {"content-encoding", "content-length"} & set(stream.headers)

    play(scene())


def test_needless_wakeups_delay_no_heartbeat(
    claimed: Claimed, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unstable Redis wakes readers without news."""
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.2)
    followers: list[events._Follower] = []

    class Seen(events._Follower):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            followers.append(self)

    monkeypatch.setattr(events, "_Follower", Seen)

    async def scene() -> None:
        async with reader(token, claimed.job) as stream, asyncio.TaskGroup() as group:

            async def disturb() -> None:
                while True:
                    for follower in followers:
                        follower._woken.set()
                    await asyncio.sleep(0.05)

            disturbing = group.create_task(disturb())
            await stream.until(lambda: len(stream.comments) > 3)
            disturbing.cancel()

    play(scene())


def test_a_stopping_process_ends_its_streams_politely(claimed: Claimed, token: str) -> None:
    async def scene() -> None:
        begin(written(claimed))("Refunds ")
        async with reader(token, claimed.job) as stream:
            await stream.until(shows(stream, "Refunds "))
            stopping.begin(asyncio.get_running_loop())
            await stream.end()
        assert "restarts" in stream.comments[-1]
        assert stream.events[-1].name == "delta"

    play(scene())


def test_readers_hold_no_thread_or_connection(claimed: Claimed, token: str, settings: Any) -> None:
    settings.AIFEATURE = {**settings.AIFEATURE, "STREAMS_PER_USER": 100}

    async def scene() -> None:
        before = threading.active_count()
        async with asyncio.TaskGroup() as group:
            streams: list[Stream] = []
            done = asyncio.Event()

            async def read() -> None:
                async with reader(token, claimed.job) as stream:
                    streams.append(stream)
                    await done.wait()

            for _ in range(60):
                group.create_task(read())
            await until(lambda: len(streams) == 60 and all(s.events for s in streams))
            most = before + settings.AIFEATURE["WEB_THREADS"] + 1  # and that of the watch
            await until(lambda: threading.active_count() <= most)
            rows = await sync_to_async(_connections)()
            assert rows < 10
            done.set()

    play(scene())


def _connections() -> int:
    """Connections of this process that are in use."""
    pool: Any = connection.pool  # type: ignore[attr-defined]
    return int(pool.size - len(pool._idle))


def lose_all_jobs() -> None:
    """Delete all jobs, as a restored backup does to younger jobs."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL aifeature.may_truncate = 'yes'")
        cursor.execute("TRUNCATE aifeature_job CASCADE")


def test_a_job_that_is_gone_ends_its_streams(make_job: MakeJob, token: str) -> None:
    job = make_job()

    async def scene() -> None:
        async with reader(token, job.id) as stream:
            await stream.until(lambda: bool(stream.events))
            await sync_to_async(lose_all_jobs)()
            await stream.end()
        assert [event.name for event in stream.events] == ["status"]

    play(scene())
