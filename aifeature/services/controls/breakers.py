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
"""Age in seconds at which a process reads the forced states again."""


class ForcedCache:
    """Cache of the forced breaker states, read before each call by all threads.

    One thread refreshes it; the others use the cached states meanwhile. While the database cannot
    be read, all threads use the last states.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._forced: Mapping[str, Kept] | None = None
        self._away = False

    def get(self, model: str) -> Kept:
        """Return `open`, `closed`, or an empty string if nothing is forced. Never raises."""
        # Wait for another thread's refresh only while nothing is cached.
        if self._is_old() and self._lock.acquire(blocking=self._forced is None):
            try:
                if self._is_old():
                    self._refresh()
            finally:
                self._lock.release()
        return (self._forced or {}).get(model, "")

    def clear(self) -> None:
        """Read again on the next `get`."""
        self._read_at = float("-inf")

    def _is_old(self) -> bool:
        return self._clock() - self._read_at >= POLL_S

    def _refresh(self) -> None:
        began = self._clock()
        try:
            self._forced = _read()
        except Error as error:
            if not self._away:
                logger.warning(
                    "breakers: forced states not read, using the last known ones: %s", error
                )
            self._away = True
            self._read_at = self._clock()
        else:
            self._away = False
            self._read_at = began  # the answer may arrive long after the reading


def _read() -> dict[str, Kept]:
    try:
        rows = ModelControl.objects.exclude(forced="").values_list("model", "forced")
        return dict(cast("Iterable[tuple[str, Kept]]", rows))
    finally:
        if not connection.in_atomic_block:
            connection.close()


cache = ForcedCache()


def forced(model: str) -> Kept:
    """Return the state that an operator forced on this model's breaker; empty if none."""
    return cache.get(model)


def force(model: str, *, forced: Forced, reason: str, user_id: int) -> None:
    """Force a breaker open or closed, or make it automatic again, for all processes.

    Args:
        model: An id of the catalog.
        forced: AUTOMATIC removes the override.
        reason: For the audit log.
        user_id: The operator; callers check the permission `force_breaker`.

    Raises:
        ValueError: The model does not exist, or the reason is empty.
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
    """Return the audit rows of a model's breaker, including old rows without a model column."""
    named = Q(feature="", model=model) | Q(feature=f"model:{model}"[:40])
    return ControlChange.objects.filter(named)
