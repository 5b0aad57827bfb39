"""Keeps the leases of everything this process runs, and hears from the database when to stop.

One thread, one statement per beat. Each beat asks for all running jobs whether they are still
ours, were cancelled or are paused; a lease is written only when a third of it has passed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseError

from aifeature.models import transitions
from aifeature.models.transitions import Claimed
from workers.inference import Cancel

logger = logging.getLogger(__name__)

BEAT_S: Final = 0.25
"""Seconds between two looks: a pulled switch ends every call within a second, of which the abort
itself takes up to a fifth. It needs no message from Redis, so it works without."""

USER: Final = "user"
PAUSED: Final = "paused"
FENCED: Final = "fenced"
STOPPING: Final = "stopping"
"""Reasons given to `Cancel.cancel`: by the user, by the kill switch, because it is not ours,
because the process ends."""


class LeaseKeeper:
    """The running jobs of this process; safe for any number of threads."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._held: dict[tuple[UUID, int], Cancel] = {}
        self._work = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def hold(self, claimed: Claimed, cancel: Cancel) -> Iterator[None]:
        """Keep this job's lease while the block runs; `cancel` is used when it must stop."""
        key = (claimed.job, claimed.epoch)
        with self._lock:
            self._held[key] = cancel
            self._start()
            self._work.set()
        try:
            yield
        finally:
            with self._lock:
                del self._held[key]
                if not self._held:
                    self._work.clear()

    def count(self) -> int:
        """How many jobs are held."""
        with self._lock:
            return len(self._held)

    def abort_all(self, reason: str) -> None:
        """Abort every call that is in flight."""
        with self._lock:
            held = list(self._held.values())
        for cancel in held:
            cancel.cancel(reason)

    def beat(self) -> None:
        """One look at the database for all jobs held."""
        with self._lock:
            held = dict(self._held)
        if not held:
            return
        beats = transitions.heartbeat(list(held), lease_s=self._lease_s)
        answers = {(beat.job, beat.epoch): beat for beat in beats}
        for key, cancel in held.items():
            answer = answers.get(key)
            if answer is None:
                cancel.cancel(FENCED)
            elif answer.cancel_requested:
                cancel.cancel(USER)
            elif answer.paused:
                cancel.cancel(PAUSED)

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        idle = threading.Event()
        while True:
            self._work.wait()
            try:
                self.beat()
            except DatabaseError as error:  # an outage: leases run on until they end
                logger.warning("leases of %d jobs not extended: %s", len(self._held), error)
            except Exception:  # a defect here must not cost every job its lease
                logger.exception("leases of %d jobs not extended", len(self._held))
            idle.wait(BEAT_S)


keeper: Final = LeaseKeeper(settings.AIFEATURE["LEASE_S"])
