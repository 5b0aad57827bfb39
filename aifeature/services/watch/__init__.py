"""Monitoring of the monitoring: the schedule, late checks, and queues without a worker.

Public: `Watcher`, run by a thread of each worker process; `schedule`, which changes the schedule;
`broken`, problems of its rows; `protected`, changes that weaken a check; `queues`, queues without
a worker; `defaults` and `wall_clock`, for beat.

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
