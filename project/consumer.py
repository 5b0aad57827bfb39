"""The worker's consumer: it sends the task events that Flower shows in batches.

Celery sends each as soon as it can, which was a sixth of all the Python that a job costs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from celery.worker.consumer import Consumer
from kombu import Connection, Message
from kombu.asynchronous import Hub
from vine import promise

from project import messages
from project.broker import REST_S
from project.messages import NotOursError
from project.refusals import refusals

logger = logging.getLogger(__name__)

FLUSH_S = 0.25
"""Seconds that task events for Flower may wait for company; at 24 they go at once."""


LONGEST_PAUSE_S: Final = 2
"""Seconds between two tries to reach the broker."""


class BatchingConsumer(Consumer):
    """Sends task events a few times a second, where Celery sends each as soon as it can."""

    _flushing: Any = None

    def register_with_event_loop(self, hub: Hub) -> None:
        """Also called anew after each lost connection."""
        super().register_with_event_loop(hub)
        if self._flushing is not None:
            self._flushing.cancel()
        self._flushing = hub.call_repeatedly(FLUSH_S, self._flush_events)

    def ensure_connected(self, conn: Connection) -> Connection:
        """Connect, however long it takes. Celery's own pauses grow to half a minute."""
        ensure = partial(conn.ensure_connection, interval_start=1, interval_max=LONGEST_PAUSE_S)
        setattr(conn, "ensure_connection", ensure)  # noqa: B010 (a method, to the type checker)
        return super().ensure_connected(conn)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Go on after the broker did not let this worker connect."""
        self._rest_if_refused(exc)
        super().on_connection_error_before_connected(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Connect anew after an error of the broker."""
        self._rest_if_refused(exc)
        super().on_connection_error_after_connected(exc)

    def _rest_if_refused(self, exc: Exception) -> None:
        """Pause: a broker that answers and refuses is connected at once, time and again."""
        known: Any = self
        if isinstance(exc, known.channel_errors):
            refusals.note("what a worker needs", exc)
            time.sleep(REST_S)

    def _flush_events(self) -> None:
        """Send the task events. They are for Flower: what is refused is not sent again."""
        known: Any = self
        try:
            super()._flush_events()  # type: ignore[misc]  # as above
        except known.channel_errors as error:
            refusals.note("events for Flower", error)

    def create_task_handler(self, promise: Any = promise) -> Callable[[Message], None]:
        """The handler of a task's message. One that is not ours is dropped, and ends nothing."""
        handle = super().create_task_handler(promise)
        known: Any = self  # the stubs lack both
        lost = (*known.connection_errors, *known.channel_errors)

        def on_task_received(message: Message) -> None:
            try:
                messages.check_task(message, self.app.tasks)
                handle(message)
            except lost:
                raise
            except Exception as error:  # noqa: BLE001 (one message must not end the worker)
                self.on_decode_error(message, error)

        return on_task_received

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Drop a message that cannot be read. Celery's own logs its content."""
        reason = exc if isinstance(exc, NotOursError) else type(exc).__name__
        messages.dropped(message.delivery_info["routing_key"], reason)
        if not message.acknowledged:
            known: Any = self
            message.reject_log_error(logger, known.connection_errors)

    def on_send_event_buffered(self) -> None:  # type: ignore[override]  # the stubs are wrong
        """Nothing to do: the timer comes round."""
