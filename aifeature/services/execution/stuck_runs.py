"""Detection of stuck threads: report them to on-call, and end the process when there are too many.

A thread cannot be ended from outside. The dispatcher ends its job in the database, but the thread
stays lost. When a tenth of its threads are lost, the process exits to make room for another one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final

from aifeature.models.functions import Rows
from aifeature.services.alerting import alerts
from aifeature.services.execution.holdings import HeldRun

LOOKS: Final = 40
"""Beats at which a run must be overdue. The database answers at each of them, so this excludes runs
that wait for the database and runs of a process that was suspended and has just resumed."""

SEEN_AGAIN_S: Final = 10.0
"""Seconds between two updates of the alert."""

NAMED: Final = 5
"""Most runs listed in an alert."""


class Watch:
    """Finds stuck threads. Used by the keeper's thread only."""

    def __init__(self, margin_s: float, clock: Callable[[], float]) -> None:
        """A run counts as overdue `margin_s` seconds after its job's deadline."""
        self._margin_s = margin_s
        self._clock = clock
        self._reported_at = float("-inf")

    def stuck(self, runs: Sequence[HeldRun]) -> list[HeldRun]:
        """Return the stuck runs. Call once per beat at which the database answered."""
        now = self._clock()
        for held in runs:
            if now > held.deadline + self._margin_s:
                held.overdue_looks += 1
        return [held for held in runs if held.overdue_looks >= LOOKS]

    def report(self, rows: Rows, stuck: Sequence[HeldRun], *, worker: str, slots: int) -> None:
        """Open or update the alert, at most once in SEEN_AGAIN_S seconds.

        Raises django.db.Error if the database is unavailable; the next call tries again.
        """
        now = self._clock()
        if now - self._reported_at < SEEN_AGAIN_S:
            return
        named = [_described(held, now) for held in stuck[:NAMED]]
        alerts.begin(
            alerts.STUCK_WORKER,
            worker[:120],
            f"{len(stuck)} of {slots} threads of this worker hang: {'; '.join(named)}."
            f" When {tenth(slots)} hang, it exits with code 75 and its supervisor starts another."
            " Fix the code that hangs.",
            {"threads": slots, "hang": len(stuck), "runs": named},
            through=rows,
        )
        self._reported_at = now


def tenth(slots: int) -> int:
    """Return the number of stuck threads that ends the process: a tenth, at least one."""
    return max(1, -(-slots // 10))


def _described(held: HeldRun, now: float) -> str:
    feature, _ = held.owner
    return f"job {held.run[0]} of {feature} for {now - held.began:.0f} s in {_where(held.thread)}"


def _where(thread: int) -> str:
    """Return the innermost frame of a thread, and the one outside the standard library above it.

    Shows module, function and line, but no values.
    """
    frame: FrameType | None = sys._current_frames().get(thread)  # noqa: SLF001 (documented)
    if frame is None:
        return "a thread that has ended"
    where = _named(frame)
    if not _is_stdlib(frame):
        return where
    caller = frame.f_back
    while caller is not None and _is_stdlib(caller):
        caller = caller.f_back
    return where if caller is None else f"{where}, called by {_named(caller)}"


def _named(frame: FrameType) -> str:
    return f"{_module(frame)}.{frame.f_code.co_qualname}, line {frame.f_lineno}"


def _is_stdlib(frame: FrameType) -> bool:
    return _module(frame).partition(".")[0] in sys.stdlib_module_names


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "?"))
