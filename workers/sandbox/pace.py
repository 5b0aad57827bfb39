"""The times at which the parts of an answer are due."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.sandbox.settings import SandboxSettings


@dataclass(frozen=True, slots=True)
class Pace:
    """The schedule of one answer, from the arrival of its call, on the loop's clock."""

    settings: SandboxSettings
    arrived: float
    """`loop.time()` at arrival."""

    def due(self, written: int, total: int) -> float:
        """Return the loop's time at which `written` of `total` tokens are sent."""
        first = self.settings.first_byte_s
        if self.settings.latency_s is not None:
            first = min(first, self.settings.latency_s)
            share = written / total if total else 1.0
            return self.arrived + first + (self.settings.latency_s - first) * share
        speed = self.settings.tokens_per_second
        return self.arrived + first + (written / speed if speed > 0 else 0.0)


async def until(when: float) -> None:
    """Wait until the loop's clock shows `when`."""
    wait = when - asyncio.get_running_loop().time()
    if wait > 0:
        await asyncio.sleep(wait)
