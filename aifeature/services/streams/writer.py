"""A worker's side: batches the new text of all its jobs into Redis, and never costs a job time.

The job's thread only appends to a list. One thread per process writes, ten times a second, in one
round trip for all jobs. What Redis does not take is kept and sent later as a whole.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final
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
"""How long one answer of Redis may take; only the writing thread waits for it."""

PAUSE_S: Final = 1.0
"""Seconds without a write after one that failed."""

DeltaSink = Callable[[str], None]


class JobStream:
    """The text of one run of a job, as it grows. Written by the job's thread alone."""

    def __init__(self, name: str, field: str | None, changed: Callable[[JobStream], None]) -> None:
        """Prepare.

        Args:
            name: Key of the Redis stream.
            field: The output field that is shown; None: nothing is.
            changed: Called when there is something to write.
        """
        self.name = name
        self.closed = False
        self._field = field
        self._changed = changed
        self._lock = threading.Lock()
        self._attempt = 0
        self._text = ""
        self._sent = 0  # characters that were handed to Redis
        self._acknowledged = 0  # characters that Redis confirmed
        self._call = 0  # the latest call
        self._call_of_text = 0  # the call that the text is of

    def sink(self) -> DeltaSink | None:
        """What takes the pieces of the next call's answer; None when nothing is shown of it."""
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
        """Return the text of the latest call that Redis has confirmed, and send no more of it.

        It is what the user can have read: of an answer that nobody could see, nothing.
        """
        with self._lock:
            if self._call_of_text != self._call:
                return ""
            self._text = self._text[: max(self._sent, self._acknowledged)]
            return self._text[: self._acknowledged]

    def confirmed(self) -> str:
        """Return the text that readers of this run see: of the latest call that wrote any."""
        with self._lock:
            return self._text[: self._acknowledged]

    def close(self) -> None:
        """The run is over; what is not written yet is written once more, and then forgotten."""
        self.closed = True

    def batch(self) -> Entry | None:
        """What was not handed to Redis yet; from then on it counts as sent."""
        with self._lock:
            offset, self._sent = self._sent, len(self._text)
            if offset == self._sent:
                return None
            return Entry(self._attempt, offset, self._text[offset:])

    def acknowledge(self, entry: Entry) -> None:
        """Redis has confirmed this batch."""
        with self._lock:
            if entry.attempt == self._attempt:
                end = entry.offset + len(entry.text)
                self._acknowledged = max(self._acknowledged, end)

    def lost(self) -> None:
        """The stream is not there, or nobody knows: the next batch holds everything."""
        with self._lock:
            self._sent = 0

    def _append(self, text: str, call: int) -> None:
        with self._lock:
            if call != self._call_of_text:
                self._call_of_text = call
                self._attempt += 1
                self._text = ""
                self._sent = self._acknowledged = 0
            self._text += text
        self._changed(self)


class StreamWriter:
    """Writes the streams of this process's jobs; safe for any number of threads."""

    def __init__(self, client: redis.Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare; nothing runs before there is text.

        Args:
            client: Its time-outs bound how old the text may get on a slow Redis.
            clock: Seconds that never go back.
        """
        self._client = client
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._dirty: dict[str, JobStream] = {}
        self._loop = Loop("stream-writer", self._turn, least_s=BATCH_S)
        self._outage = Outage(PAUSE_S, clock=clock)

    @contextmanager
    def open(self, job: UUID, epoch: int, field: str | None) -> Iterator[JobStream]:
        """The stream of one run of a job."""
        stream = JobStream(key(job, epoch), field, self._changed)
        try:
            yield stream
        finally:
            stream.close()

    def flush(self) -> None:
        """Write the text that came before this call. Raises nothing: a stream may get lost."""
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
                logger.info("streams: Redis takes text again")

    def _write(self, batches: list[tuple[JobStream, Entry]]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for stream, entry in batches:
            fields: Any = entry.fields()
            pipeline.xadd(
                stream.name,
                fields,
                maxlen=MAX_ENTRIES,
                # A stream that has vanished must not come back with its beginning missing.
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
            logger.warning("streams: Redis takes no text, readers wait for results: %r", error)

    def _keep(self, streams: list[JobStream]) -> None:
        """Try these again later, but not those whose job is over: the result tells all."""
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
    """The writer of this process. Its connection gives up soon, since nobody waits for a stream."""
    client = redis_clients.connect(TIMEOUT_S)
    return StreamWriter(client)
