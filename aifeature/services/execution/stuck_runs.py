"""Runs whose thread does not come back: noticed, named to on-call, and a reason to end the process.

A thread cannot be ended from outside. The dispatcher ends the job in the database; what is left is
a thread that no other job can use, so a process that has lost a tenth of them makes room for
another.
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
"""How often a run must be seen past its time. The database answers at each look, so a run that
waits for it is none, and neither is one whose process was stopped and has only just gone on."""

SEEN_AGAIN_S: Final = 10.0
"""Seconds between two signs that threads still hang."""

NAMED: Final = 5
"""Most runs that an alert names."""


class Watch:
    """Looks for threads that hang; used by the keeper's thread alone."""

    def __init__(self, margin_s: float, clock: Callable[[], float]) -> None:
        """Prepare; a run may take `margin_s` seconds past its job's deadline."""
        self._margin_s = margin_s
        self._clock = clock
        self._told_at = float("-inf")

    def look(self, runs: Sequence[HeldRun]) -> list[HeldRun]:
        """Those that hang. Call it once for each look at the database that was answered."""
        now = self._clock()
        for held in runs:
            if now > held.deadline + self._margin_s:
                held.overdue_looks += 1
        return [held for held in runs if held.overdue_looks >= LOOKS]

    def tell(self, ask: Rows, stuck: Sequence[HeldRun], *, worker: str, slots: int) -> None:
        """Tell on-call what hangs, if that was not said a moment ago.

        Raises:
            django.db.Error: the database is away; it is said at the next look.
        """
        now = self._clock()
        if now - self._told_at < SEEN_AGAIN_S:
            return
        named = [_described(held, now) for held in stuck[:NAMED]]
        alerts.begin(
            alerts.STUCK_WORKER,
            worker[:120],
            f"{len(stuck)} of {slots} threads of this worker hang: {'; '.join(named)}."
            f" Once {tenth(slots)} hang it stops, with exit code 75: its supervisor starts another."
            " Mend what hangs.",
            {"threads": slots, "hang": len(stuck), "runs": named},
            through=ask,
        )
        self._told_at = now


def tenth(slots: int) -> int:
    """How many threads must hang before the process ends: a tenth of them, at least one."""
    return max(1, -(-slots // 10))


def _described(held: HeldRun, now: float) -> str:
    feature, _ = held.owner
    return f"job {held.run[0]} of {feature} for {now - held.began:.0f} s in {_where(held.thread)}"


def _where(thread: int) -> str:
    """The innermost frame of a thread, and the one outside of Python's library that led there.

    Module, function and line, and nothing of what they work on.
    """
    frame: FrameType | None = sys._current_frames().get(thread)  # noqa: SLF001 (documented)
    if frame is None:
        return "a thread that is gone"
    where = _named(frame)
    if not _is_of_python(frame):
        return where
    caller = frame.f_back
    while caller is not None and _is_of_python(caller):
        caller = caller.f_back
    return where if caller is None else f"{where}, called by {_named(caller)}"


def _named(frame: FrameType) -> str:
    return f"{_module(frame)}.{frame.f_code.co_qualname}, line {frame.f_lineno}"


def _is_of_python(frame: FrameType) -> bool:
    return _module(frame).partition(".")[0] in sys.stdlib_module_names


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "?"))
