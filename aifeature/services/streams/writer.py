"""The worker's side of streams: writes new text of all its jobs to Redis without delaying them.

A job's thread only appends to a buffer. One thread per process writes ten times a second, in one
round trip for all jobs. After an error the whole text is sent again later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, Protocol
from uuid import UUID

import redis

from aifeature.models.storable import storable
from aifeature.policies import redis_replies
from aifeature.services.background import Loop
from aifeature.services.stores import redis_clients
from aifeature.services.streams.entries import MAX_ENTRIES, TTL_S, Entry, key
from aifeature.services.streams.field_text import FieldText
from workers.inference.outage import Outage

logger = logging.getLogger(__name__)

BATCH_S: Final = 0.1
"""Seconds between two writes."""

TIMEOUT_S: Final = 0.5
"""Seconds that one answer of Redis may take. Only the writer's thread waits for it."""

PAUSE_S: Final = 1.0
"""Seconds without writing after a failure."""

DeltaSink = Callable[[str], None]


class Released(Protocol):
    """Passes on the text that the guards allow."""

    def feed(self, piece: str) -> str:
        """Return the text that may be shown now, after this piece of the answer."""


class JobStream:
    """The growing text of one run of a job. Written by the job's thread only."""

    def __init__(
        self,
        name: str,
        field: str | None,
        changed: Callable[[JobStream], None],
        released: Callable[[], Released] | None = None,
    ) -> None:
        """`field` is the output field to show; None: no text is shown. `changed` reports text.

        `released` makes the guard of each call's text; None: there is none.
        """
        self.name = name
        self.closed = False
        self._field = field
        self._changed = changed
        self._released = released
        self._lock = threading.Lock()
        self._guard: Released | None = None
        self._attempt = 0
        self._arrived: list[str] = []  # not guarded yet
        self._text = ""
        self._sent = 0  # characters sent to Redis
        self._acknowledged = 0  # characters confirmed by Redis
        self._call = 0  # number of the latest call
        self._call_of_text = 0  # number of the call that wrote the text

    @property
    def is_shown(self) -> bool:
        """Whether text is shown while it grows."""
        return self._field is not None

    def sink(self) -> DeltaSink | None:
        """Return the function that takes the next call's answer; None: no text is shown."""
        with self._lock:
            self._call += 1
            call = self._call
        if self._field is None:
            return None
        decoder = FieldText(self._field)

        def take(piece: str) -> None:
            text = storable(decoder.feed(piece))
            if text:
                self._append(text, call)

        return take

    def delivered(self) -> str:
        """Return the confirmed text of the latest call, and discard what was not sent.

        This is the text that the user can have read. Empty if the latest call wrote none.
        """
        with self._lock:
            if self._call_of_text != self._call:
                return ""
            self._arrived.clear()
            self._text = self._text[: max(self._sent, self._acknowledged)]
            return self._text[: self._acknowledged]

    def confirmed(self) -> str:
        """Return the confirmed text that readers see, from the latest call that wrote any."""
        with self._lock:
            return self._text[: self._acknowledged]

    def close(self) -> None:
        """Mark the run as over. Unwritten text is tried once more and then dropped."""
        self.closed = True

    def batch(self) -> Entry | None:
        """Return the text not sent yet, which then counts as sent.

        The guards read the text here, with all that has arrived. Reading each piece of a few
        characters would cost many times as much.
        """
        with self._lock:
            if self._arrived:
                text = "".join(self._arrived)
                self._arrived.clear()
                self._text += self._guard.feed(text) if self._guard else text
            offset, self._sent = self._sent, len(self._text)
            if offset == self._sent:
                return None
            return Entry(self._attempt, offset, self._text[offset:])

    def acknowledge(self, entry: Entry) -> None:
        with self._lock:
            if entry.attempt == self._attempt:
                end = entry.offset + len(entry.text)
                self._acknowledged = max(self._acknowledged, end)

    def lost(self) -> None:
        """Send everything with the next batch: the stream is missing or in an unknown state."""
        with self._lock:
            self._sent = 0

    def _append(self, text: str, call: int) -> None:
        with self._lock:
            if call != self._call_of_text:
                self._call_of_text = call
                self._attempt += 1
                self._guard = self._released() if self._released else None
                self._arrived.clear()
                self._text = ""
                self._sent = self._acknowledged = 0
            self._arrived.append(text)
        self._changed(self)


class StreamWriter:
    """Writes the streams of this process's jobs. Thread-safe."""

    def __init__(self, client: redis.Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        """The time-outs of `client` bound the delay of the text while Redis is slow."""
        self._client = client
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._dirty: dict[str, JobStream] = {}
        self._loop = Loop("stream-writer", self._turn, least_s=BATCH_S)
        self._outage = Outage(PAUSE_S, clock=clock)

    @contextmanager
    def open(
        self,
        job: UUID,
        epoch: int,
        field: str | None,
        released: Callable[[], Released] | None = None,
    ) -> Iterator[JobStream]:
        """Yield the stream of a run. See `JobStream` for `field` and `released`."""
        stream = JobStream(key(job, epoch), field, self._changed, released)
        try:
            yield stream
        finally:
            stream.close()

    def flush(self) -> None:
        """Write all text added before this call. Never raises, because streams may be lost."""
        with self._flushing:
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            streams = list(self._dirty.values())
            self._dirty.clear()
        if not streams:
            return
        if self._outage.in_cooldown:
            self._keep(streams)
            return
        batches = [(stream, entry) for stream in streams if (entry := stream.batch())]
        try:
            self._write(batches)
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            for stream in streams:
                stream.lost()
            self._keep(streams)
        else:
            if self._outage.succeeded():
                logger.info("streams: can write to Redis again")

    def _write(self, batches: list[tuple[JobStream, Entry]]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for stream, entry in batches:
            fields: Any = entry.fields()
            pipeline.xadd(
                stream.name,
                fields,
                maxlen=MAX_ENTRIES,
                # A stream that was deleted must not be created again without its beginning.
                nomkstream=entry.offset > 0,
            )
            if entry.offset == 0:
                pipeline.expire(stream.name, TTL_S)
        answers = iter(pipeline.execute())
        for stream, entry in batches:
            if next(answers) is None:
                stream.lost()
                self._changed(stream)
            else:
                stream.acknowledge(entry)
            if entry.offset == 0:
                next(answers)

    def _failed(self, error: Exception) -> None:
        if redis_replies.is_read_only(error):
            self._client.connection_pool.disconnect(inuse_connections=False)
        if self._outage.failed():
            logger.warning("streams: cannot write to Redis, no live text: %r", error)

    def _keep(self, streams: list[JobStream]) -> None:
        """Retry these later, except those of ended jobs: their readers get the result."""
        with self._lock:
            for stream in streams:
                if not stream.closed:
                    self._dirty.setdefault(stream.name, stream)

    def _changed(self, stream: JobStream) -> None:
        with self._lock:
            self._dirty[stream.name] = stream
        self._loop.wake()

    def _turn(self) -> float | None:
        self.flush()
        return 0.0 if self._dirty else None


@cache
def process() -> StreamWriter:
    """Return the writer of this process. Its time-out is short, because streams may be lost."""
    client = redis_clients.connect(TIMEOUT_S)
    return StreamWriter(client)
