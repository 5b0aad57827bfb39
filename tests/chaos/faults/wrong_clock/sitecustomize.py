"""Shifts the wall clock of a process by the number of seconds in the file CLOCK_SHIFT.

Python imports a module of this name first if its folder is on PYTHONPATH. Monotonic time does not
change, as when a person sets the clock of a machine.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path
from typing import Any, Self

_Right = dt.datetime
_right_time, _right_time_ns = time.time, time.time_ns
_file = Path(os.environ["CLOCK_SHIFT"])


def _shift_s() -> int:
    return int(_file.read_text() or 0)


class _Kind(type):
    """Instances of the real class, which C code makes, count as instances of this one."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _Right)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, _Right)


class _Wrong(_Right, metaclass=_Kind):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Self:
        moved: Any = _Right.now(tz) + dt.timedelta(seconds=_shift_s())
        return moved  # type: ignore[no-any-return]

    @classmethod
    def utcnow(cls) -> Self:
        moved: Any = cls.now(dt.UTC).replace(tzinfo=None)
        return moved  # type: ignore[no-any-return]

    @classmethod
    def today(cls) -> Self:
        return cls.now()


time.time = lambda: _right_time() + _shift_s()
time.time_ns = lambda: _right_time_ns() + _shift_s() * 1_000_000_000
dt.datetime = _Wrong  # type: ignore[misc]
