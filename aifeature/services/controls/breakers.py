"""Circuit breakers that operators force, one per model of the provider."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, cast

from django.db import Error, connection, transaction
from django.db.models import Q, QuerySet

from aifeature.models import ControlChange, Forced, ModelControl
from workers.inference import catalog
from workers.inference.breaker import Forced as Kept

logger = logging.getLogger(__name__)

POLL_S: Final = 0.5
"""Age in seconds at which a process reads again what is forced."""


class ForcedCache:
    """What is forced, at most half a second old: asked before each call, by all threads.

    One thread reads at a time, and the others go by what is known meanwhile; while the database
    cannot be read, all go by what was read last.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._forced: Mapping[str, Kept] | None = None
        self._away = False

    def get(self, model: str) -> Kept:
        """`open`, `closed` or, where nothing is forced, an empty string. Never raises."""
        # Only where nothing is known yet is it worth waiting for another thread's answer.
        if self._is_old() and self._lock.acquire(blocking=self._forced is None):
            try:
                if self._is_old():
                    self._refresh()
            finally:
                self._lock.release()
        return (self._forced or {}).get(model, "")

    def clear(self) -> None:
        """Read again at the next look."""
        self._read_at = float("-inf")

    def _is_old(self) -> bool:
        return self._clock() - self._read_at >= POLL_S

    def _refresh(self) -> None:
        try:
            self._forced = _read()
        except Error as error:
            if not self._away:
                logger.warning(
                    "breakers: the database cannot be read, going by the last: %s", error
                )
            self._away = True
        else:
            self._away = False
        self._read_at = self._clock()


def _read() -> dict[str, Kept]:
    try:
        rows = ModelControl.objects.exclude(forced="").values_list("model", "forced")
        return dict(cast("Iterable[tuple[str, Kept]]", rows))
    finally:
        if not connection.in_atomic_block:
            connection.close()


cache = ForcedCache()


def forced(model: str) -> Kept:
    """What an operator forced this model's breaker to; empty where nothing is forced."""
    return cache.get(model)


def force(model: str, *, forced: Forced, reason: str, user_id: int) -> None:
    """Force a breaker open or closed, or leave it to itself again. Every process follows.

    Args:
        model: An id of the catalog.
        forced: AUTOMATIC gives it back.
        reason: Why; for the audit trail.
        user_id: Who does it; callers check the permission `force_breaker`.

    Raises:
        ValueError: there is no such model, or no reason.
    """
    if model not in catalog.known_models():
        known = ", ".join(catalog.known_models())
        raise ValueError(f"there is no model {model!r}: choose one of {known}")
    if not reason.strip():
        raise ValueError("forcing a breaker needs a reason")
    with transaction.atomic():
        ModelControl.objects.get_or_create(model=model)
        row = ModelControl.objects.select_for_update().get(model=model)
        before, row.forced = row.forced, forced
        row.reason = reason if forced else ""
        row.save()
        if before != forced:
            ControlChange.objects.create(
                model=model,
                field="breaker",
                old=before or "automatic",
                new=forced or "automatic",
                reason=reason,
                user_id=user_id,
            )
    cache.clear()


def changes(model: str) -> QuerySet[ControlChange]:
    """The audit rows of a model's breaker, also those written before they had a column for it."""
    named = Q(feature="", model=model) | Q(feature=f"model:{model}"[:40])
    return ControlChange.objects.filter(named)
