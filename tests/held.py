"""Calls that the sandbox provider answers when a test says so, however slow the machine is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from workers.sandbox import delivery, messages

FIRST_S = 1_000.0
SECOND_S = 2_000.0
"""`seconds` of faults to be let go one after the other; the default of faults is longer still."""

_LOOK_S = 0.02


class Held:
    """Stalls and late first bytes of a sandbox in this process end when they are let go."""

    def __init__(self) -> None:
        """All are held."""
        self._let_go_s = 0.0

    def let_go(self, longest_s: float) -> None:
        """End those that last no longer than this, and all such that are still to come."""
        self._let_go_s = longest_s

    async def until(self, when: float) -> None:
        """Stands in for the sandbox's own wait."""
        loop = asyncio.get_running_loop()
        lasts_s = when - loop.time()
        # Another thread lets go, so there is no event of this loop to wait for.
        while (left := when - loop.time()) > 0 and lasts_s > self._let_go_s:  # noqa: ASYNC110
            await asyncio.sleep(min(left, _LOOK_S))


@contextmanager
def held() -> Iterator[Held]:
    """Hold in the block; what is held then is let go at its end."""
    found = Held()
    with patch.object(delivery, "until", found.until), patch.object(messages, "until", found.until):
        try:
            yield found
        finally:
            found.let_go(float("inf"))
