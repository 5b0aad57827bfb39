"""A clock that a test moves."""

from __future__ import annotations

import pytest


class Clock:
    """Returns the same seconds until a test changes `now`."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()
