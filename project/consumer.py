"""The worker's consumer: it sends the task events that Flower shows in batches.

Celery sends each as soon as it can, which was a sixth of all the Python that a job costs.
"""

from __future__ import annotations

from typing import Any

from celery.worker.consumer import Consumer
from kombu.asynchronous import Hub

FLUSH_S = 0.25
"""Seconds that task events for Flower may wait for company; at 24 they go at once."""


class BatchingConsumer(Consumer):
    """Sends task events a few times a second, where Celery sends each as soon as it can."""

    _flushing: Any = None

    def register_with_event_loop(self, hub: Hub) -> None:
        """Also called anew after each lost connection."""
        super().register_with_event_loop(hub)
        if self._flushing is not None:
            self._flushing.cancel()
        self._flushing = hub.call_repeatedly(FLUSH_S, self._flush_events)  # type: ignore[attr-defined]

    def on_send_event_buffered(self) -> None:  # type: ignore[override]  # the stubs are wrong
        """Nothing to do: the timer comes round."""
