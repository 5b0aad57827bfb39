"""The worker's consumer. It sends the task events for Flower in batches.

Celery sends each event separately, which took a sixth of the Python time of a job.
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
from project.broker import COOLDOWN_S
from project.messages import NotOursError
from project.refusals import refusals

logger = logging.getLogger(__name__)

FLUSH_S = 0.25
"""Longest wait of a task event, in seconds. A batch of 24 events is sent immediately."""

LONGEST_PAUSE_S: Final = 2
"""Longest pause between two attempts to reach the broker, in seconds."""


class BatchingConsumer(Consumer):
    """Sends task events a few times a second, and survives messages and errors of the broker."""

    _flushing: Any = None

    def register_with_event_loop(self, hub: Hub) -> None:
        """Start the timer for task events. Celery calls this again after each lost connection."""
        super().register_with_event_loop(hub)
        if self._flushing is not None:
            self._flushing.cancel()
        self._flushing = hub.call_repeatedly(FLUSH_S, self._flush_events)

    def ensure_connected(self, conn: Connection) -> Connection:
        """Connect, with no limit on attempts. Celery's own pauses grow to half a minute."""
        ensure = partial(conn.ensure_connection, interval_start=1, interval_max=LONGEST_PAUSE_S)
        setattr(conn, "ensure_connection", ensure)  # noqa: B010 (the type checker sees a method)
        return super().ensure_connected(conn)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Continue after a failed attempt to connect."""
        self._pause_if_refused(exc)
        super().on_connection_error_before_connected(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Connect again after an error of the broker."""
        self._pause_if_refused(exc)
        super().on_connection_error_after_connected(exc)

    def _pause_if_refused(self, exc: Exception) -> None:
        """Pause after a refusal, since reconnecting to such a broker succeeds immediately."""
        untyped: Any = self
        if isinstance(exc, untyped.channel_errors):
            refusals.note("a command that a worker needs", exc)
            time.sleep(COOLDOWN_S)

    def _flush_events(self) -> None:
        """Send the task events. Refused events are lost: only Flower uses them."""
        untyped: Any = self
        try:
            super()._flush_events()  # type: ignore[misc]  # as above
        except untyped.channel_errors as error:
            refusals.note("events for Flower", error)

    def create_task_handler(self, promise: Any = promise) -> Callable[[Message], None]:
        """Return the handler of task messages. It drops messages of other programs."""
        handle = super().create_task_handler(promise)
        untyped: Any = self  # the stubs lack both
        lost = (*untyped.connection_errors, *untyped.channel_errors)

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
        """Drop an unreadable message without its content, which Celery would log."""
        reason = exc if isinstance(exc, NotOursError) else type(exc).__name__
        messages.dropped(message.delivery_info["routing_key"], reason)
        if not message.acknowledged:
            untyped: Any = self
            message.reject_log_error(logger, untyped.connection_errors)

    def on_send_event_buffered(self) -> None:  # type: ignore[override]  # the stubs are wrong
        """Do nothing: the timer sends the event."""
