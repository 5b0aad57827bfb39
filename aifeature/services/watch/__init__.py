"""Watches the watchers: the schedule and its checks, and whether each queue has a worker.

Public: `Watcher`, which a thread of each worker process runs; `schedule`, the one way to change
the schedule; `broken`, what is wrong with a row of it; `protected`, what weakens a check; `queues`,
which of them have no worker; `defaults` and `wall_clock`, for beat.

Size limit: 1,150 lines.
"""

from aifeature.services.watch import broken, defaults, protected, queues, schedule, wall_clock
from aifeature.services.watch.watcher import EVERY_S, STAND_IN_S, Watcher

__all__ = [
    "EVERY_S",
    "STAND_IN_S",
    "Watcher",
    "broken",
    "defaults",
    "protected",
    "queues",
    "schedule",
    "wall_clock",
]
