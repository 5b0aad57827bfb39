"""Live workers of each queue, by their heartbeats and the database's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.db.models import Count, F, Max, Q, Sum
from django.db.models.functions import Now

from aifeature.models import Worker
from aifeature.models.watch import Watch
from aifeature.services.watch import queues

GONE_AFTER: Final = timedelta(seconds=20)
"""Age of a heartbeat after which a worker's threads no longer count, as in `aif_slots`."""


@dataclass(frozen=True, slots=True)
class LastSeen:
    """The workers of one queue."""

    ago: timedelta | None = None
    """Time since the latest heartbeat, including workers that are gone; None if there is none."""
    live: int = 0
    """Processes with a heartbeat within GONE_AFTER."""
    threads: int = 0
    """Jobs that these can run at the same time; a worker that is stopping takes no more."""

    @property
    def is_gone(self) -> bool:
        return not self.live


def last_seen() -> Mapping[str, LastSeen]:
    """Return the workers of every queue, by its name. Two queries.

    A worker sends a heartbeat every second, busy or idle.
    """
    live = Q(seen_at__gt=Now() - GONE_AFTER)
    rows = Worker.objects.values("queue").annotate(
        ago=Now() - Max("seen_at"),
        live=Count("name", filter=live),
        threads=Sum("slots", filter=live, default=0),
    )
    found: dict[str, Any] = {
        row["queue"]: {name: row[name] for name in ("ago", "live", "threads")}
        for row in rows.order_by()
    }
    # A worker's row is deleted after an hour. The watcher's row for the queue stays.
    names = {f"queue {queue}": queue for queue in queues.QUEUES}
    noted = Watch.objects.filter(name__in=list(names), alive_at__isnull=False)
    for name, ago in noted.annotate(ago=Now() - F("alive_at")).values_list("name", "ago"):
        found.setdefault(names[name], {"ago": ago})
    return {queue: LastSeen(**found.get(queue, {})) for queue in queues.QUEUES}
