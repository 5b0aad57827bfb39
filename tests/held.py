"""Calls that the sandbox provider answers at a moment that the test chooses, without timing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from workers.sandbox import delivery, messages

FIRST_S = 1_000.0
SECOND_S = 2_000.0
"""`seconds` of two faults that a test releases one after the other. The default is longer."""

_LOOK_S = 0.02


class Held:
    """Holds stalls and late first bytes of a sandbox in this process until they are released."""

    def __init__(self) -> None:
        self._let_go_s = 0.0

    def let_go(self, longest_s: float) -> None:
        """End all present and future waits that would last at most this long."""
        self._let_go_s = longest_s

    async def until(self, when: float) -> None:
        """Replace the sandbox's own wait."""
        loop = asyncio.get_running_loop()
        lasts_s = when - loop.time()
        # Another thread releases the calls, so no event of this loop can be used.
        while (left := when - loop.time()) > 0 and lasts_s > self._let_go_s:  # noqa: ASYNC110
            await asyncio.sleep(min(left, _LOOK_S))


@contextmanager
def held() -> Iterator[Held]:
    """Hold calls within the block. Its end releases them."""
    found = Held()
    with patch.object(delivery, "until", found.until), patch.object(messages, "until", found.until):
        try:
            yield found
        finally:
            found.let_go(float("inf"))
