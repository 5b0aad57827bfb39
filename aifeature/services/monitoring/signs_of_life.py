"""When a worker of each queue last gave a sign of life, by the database's clock."""

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
"""As in aif_slots: from then on a worker's threads count for nothing."""


@dataclass(frozen=True, slots=True)
class LastSeen:
    """The workers of one queue."""

    ago: timedelta | None = None
    """Since the last sign of life of any of them, also of one that is gone; None: never seen."""
    live: int = 0
    """Processes that were seen within GONE_AFTER."""
    threads: int = 0
    """Jobs that these run at once; those that are stopping take no more."""

    @property
    def is_gone(self) -> bool:
        """Whether no process is live."""
        return not self.live


def last_seen() -> Mapping[str, LastSeen]:
    """Return what is known of the workers of every queue, by its name: two queries.

    A worker writes a sign of life every second, whether or not it has anything to do.
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
    # The row of a worker is deleted after an hour; what the watchers wrote down stays.
    names = {f"queue {queue}": queue for queue in queues.QUEUES}
    noted = Watch.objects.filter(name__in=list(names), alive_at__isnull=False)
    for name, ago in noted.annotate(ago=Now() - F("alive_at")).values_list("name", "ago"):
        found.setdefault(names[name], {"ago": ago})
    return {queue: LastSeen(**found.get(queue, {})) for queue in queues.QUEUES}
