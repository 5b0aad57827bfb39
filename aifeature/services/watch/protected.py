"""Checks that guard spend or jobs, and changes of their schedule that weaken them.

Such a change needs the permission to release a kill switch: a check that does not run pulls no
switch, so both have the same effect.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from celery import current_app

from aifeature.services.watch.gaps import gap_s, sent_every

PROTECTED: Final = frozenset(
    {
        "control.alerts",
        "control.budgets",
        "control.cost_spike",
        "control.numbers",
        "control.provider",
        "control.reconcile",
        "control.retention",
        "control.rollout",
        "control.sweep",
    }
)
"""As in `aif_is_protected`."""

PERMISSION: Final = "aifeature.release_feature"

SLOWEST: Final = 2
"""Multiple of the code's interval up to which every operator who may change the schedule may slow
down a protected check. The check is not late then."""

_TARGET: Final = (
    ("task", "another task"),
    ("queue", "another queue"),
    ("exchange", "an exchange"),
    ("routing_key", "a routing key"),
    ("args", "other arguments"),
    ("kwargs", "other arguments"),
    ("headers", "other headers"),
)

_EMPTY: Final[Mapping[str, Any]] = MappingProxyType({"args": [], "kwargs": {}, "headers": {}})
"""Fields that hold JSON, and the meaning of an empty one."""


def weakened(before: Any, after: Any | None) -> list[str]:
    """Return the ways in which a change of a PeriodicTask weakens a protected check, as phrases.

    `after` is None if the row is deleted.
    """
    if before.task not in PROTECTED:
        return []
    if after is None:
        return ["delete it"]
    found = []
    if before.enabled and not after.enabled:
        found.append("disable it")
    if after.one_off and not before.one_off:
        found.append("run it only once")
    if any(_is_newly_set(before, after, name) for name in ("expires", "expire_seconds")):
        found.append("let it expire")
    if _is_newly_set(before, after, "start_time"):
        found.append("delay its start")
    found += [
        f"give it {what}"
        for name, what in _TARGET
        if _meaning(name, before) != _meaning(name, after)
    ]
    if _is_slower(before, after):
        found.append(f"run it less often than every {slowest_s(before.task):g} seconds")
    return list(dict.fromkeys(found))


def slowest_s(task: str) -> float:
    """Return the longest interval in seconds that needs no extra permission."""
    return SLOWEST * sent_every().get(task, 0.0)


def _is_slower(before: Any, after: Any) -> bool:
    old, new = (_gap(row) for row in (before, after))
    if new is None:  # a schedule without an interval, such as one of sunrise
        return old is not None
    return new > slowest_s(before.task) and (old is None or new > old)


def _gap(row: Any) -> float | None:
    return gap_s(row.schedule) if row.scheduler is not None else None


def _is_newly_set(before: Any, after: Any, name: str) -> bool:
    value = getattr(after, name)
    return value is not None and value != getattr(before, name)


def _meaning(name: str, row: Any) -> Any:
    """Normalize a value, so that equivalent spellings are equal."""
    value = getattr(row, name)
    if name == "queue":
        return value or current_app.conf.task_default_queue
    if name in _EMPTY:
        try:
            return json.loads(value) if value else _EMPTY[name]
        except ValueError:
            return value
    return value or None
