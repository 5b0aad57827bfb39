"""Live server-sent events of a job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from http import HTTPStatus
from typing import Annotated, Final, Self

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from ninja import Header, Router

from aifeature.api import access, ending, slots, sse, stopping, waiting
from aifeature.api.auth import user_of
from aifeature.api.openapi import documented
from aifeature.api.routes import NO_JOB, UNDER_WAY, read_job
from aifeature.models import Job, Status
from aifeature.models.job_states import JobState
from aifeature.services.streams.cursor import Cursor, Position, TextEvent, read_position
from aifeature.services.streams.hub import hub

HEARTBEAT_S: Final = 15.0
"""Well below the minute after which common proxies close an idle connection."""

RETRY_MS: Final = 1_000

SETTLE_S: Final = 1.0
"""Longest wait for a finished job's text in Redis, which shows the part that a reader has."""

NO_LIVE_TEXT: Final = (
    "Live text is not available at the moment. The result will appear here when it is ready."
)

_UNKNOWN: Final = Position(0, 1)
"""Position for an unknown event id: the reader has an unknown part of the text."""

_DESCRIPTION: Final = """
The job's events as `text/event-stream`: first everything since the start, then live events.

| event | data | meaning |
| --- | --- | --- |
| `status` | `{"status", "message"}` | the current status; `message` is a sentence or null |
| `delta` | `{"text"}` | append this to the text |
| `reset` | `{"text"}` | replace the text with this |
| `result` | the job | it succeeded, or needs approval; the last event |
| `error` | `{"code", "message", "status"}` | it ended otherwise; the last event |

The text is one field of the result while it is being written; at `result` it equals that field.
Event ids are `epoch-offset`, where the offset counts the text's characters (code points). The last
event has the id `epoch-status`. A client that reconnects with `Last-Event-ID` gets only the rest.
The server ends the stream after the last event and when it restarts. Reconnect only after a
restart: after the last event, the response is 204, which ends an EventSource.
"""

router = Router(tags=["AI features"])


@router.get(
    "/jobs/{job_id}/events",
    operation_id="job_events",
    url_name="job_events",
    summary="A job's live events",
    description=_DESCRIPTION,
    openapi_extra=documented(
        NO_JOB,
        {
            429: "`rate_limited`: you sent too many requests; `too_many_streams`: you have too many"
            " streams open in this process. Wait `Retry-After` seconds."
        },
        event_stream=True,
    ),
)
async def job_events(
    request: HttpRequest,
    job_id: str,
    last_event_id: Annotated[
        str | None,
        Header(alias="Last-Event-ID", description="Id of the last event you received."),
    ] = None,
) -> HttpResponseBase:
    """Stream the job's events. Problems are returned before the stream starts."""
    user = user_of(request)
    job = await read_job(request, job_id)
    if Status(job.status) not in UNDER_WAY and last_event_id == ending.last_id(job):
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    slots.take(user.pk)
    claimed = (read_position(last_event_id) or _UNKNOWN) if last_event_id else None
    return StreamingHttpResponse(
        _events(job, request, Cursor(claimed)),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(job: Job, request: HttpRequest, cursor: Cursor) -> AsyncIterator[bytes]:
    yield sse.retry(RETRY_MS)
    clock = asyncio.get_running_loop().time
    with _Follower(job, cursor) as follower:
        sent_at = checked_at = clock()
        while not follower.over:
            if clock() - checked_at >= HEARTBEAT_S:
                if not await access.holds(request):
                    return  # a client that reconnects gets the reason
                checked_at = clock()
            if news := follower.news():
                yield news
                sent_at = clock()
            if stopping.is_stopping():
                yield sse.GOODBYE
                return
            # Wakeups without news, as during a Redis outage, must not delay the heartbeat.
            await follower.woken(min(sent_at, checked_at) + HEARTBEAT_S - clock())
            if clock() - sent_at >= HEARTBEAT_S:
                yield sse.HEARTBEAT
                sent_at = clock()
        if text := follower.text_of(cursor.next()):
            yield text  # before the read below, which may queue behind a thousand others
        ended = await ending.read(user_of(request), job.id)
        if ended is None:  # a client that reconnects gets the reason
            return
        await follower.settle(ended.epoch, SETTLE_S)
        yield follower.text_of(cursor.next())
        if ended.stored is not None:
            yield follower.text_of(cursor.end(ended.stored, ended.epoch))
        yield _status(ended.status, None) + ended.event


class _Follower:
    """One reader's view of a job: its state from the database, its text from the hub."""

    def __init__(self, job: Job, cursor: Cursor) -> None:
        self._job = job.id
        self._field = ending.stream_field(job.feature)
        self._cursor = cursor
        waits = job.error_message if job.status == Status.QUEUED else ""
        self._state: JobState | None = JobState(Status(job.status), job.epoch, waits)
        self._sent: tuple[Status, str | None] | None = None
        self._followed: int | None = None
        self._woken = asyncio.Event()
        self._exits = ExitStack()
        self._reading = ExitStack()

    def __enter__(self) -> Self:
        self._exits.callback(self._reading.close)
        if not self.over:
            self._exits.enter_context(waiting.watch().listening(self._job, self._notice))
            self._exits.enter_context(stopping.on_stop(self._woken.set))
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    @property
    def over(self) -> bool:
        """Whether the job is gone, has ended, or needs approval."""
        return self._state is None or self._state.status not in UNDER_WAY

    async def woken(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    def news(self) -> bytes:
        """Return the events that the reader has not received."""
        state = self._state
        if state is None:
            return b""
        if state.status is Status.RUNNING:
            self._follow(state.epoch)
        return self._status_news(state) + self.text_of(self._cursor.next())

    async def settle(self, epoch: int, timeout_s: float) -> None:
        """Determine which part of a complete text a reconnected reader has."""
        claimed = self._cursor.claimed
        if claimed is None or claimed.epoch != epoch:
            return
        self._follow(epoch)
        try:
            async with asyncio.timeout(timeout_s):
                while not self._cursor.settled and hub().reachable:
                    await self._woken.wait()
                    self._woken.clear()
        except TimeoutError:
            return

    @staticmethod
    def text_of(found: TextEvent | None) -> bytes:
        if found is None:
            return b""
        return sse.event(found.kind, {"text": found.text}, event_id=str(found.position))

    def _notice(self, state: JobState | None) -> None:
        if state != self._state:
            self._state = state
            self._woken.set()

    def _follow(self, epoch: int) -> None:
        if self._field is None or epoch == self._followed:
            return
        self._reading.close()
        self._followed = epoch
        reading = hub().reading(self._job, epoch, self._woken.set)
        self._cursor.follow(self._reading.enter_context(reading))

    def _status_news(self, state: JobState) -> bytes:
        message = state.message or None
        if state.status is Status.RUNNING and self._field and not hub().reachable:
            message = NO_LIVE_TEXT
        if (state.status, message) == self._sent or self.over:
            return b""
        self._sent = (state.status, message)
        return _status(state.status, message)


def _status(status: Status, message: str | None) -> bytes:
    return sse.event("status", {"status": status, "message": message})
