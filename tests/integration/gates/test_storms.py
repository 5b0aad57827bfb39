"""After ten minutes of any storm no default cap refuses anybody; afterwards users are served soon.

Time is simulated, the gate is the real one. The figures are printed: `pytest -s` shows them.
"""

from __future__ import annotations

import pytest
import redis

from tests.integration.gates.storm import (
    LARGE,
    STORMS,
    USUAL,
    Clock,
    Found,
    Play,
    Storm,
    cost,
    route,
)
from workers.inference.breaker import BreakerPolicy
from workers.inference.gate import Gate
from workers.inference.shared_state import SharedState

CAP_MICRO = 100_000_000
"""The daily cap of `summarize`, and that of everything."""

SERVED_S = 20.0
"""Seconds after the provider's return in which all jobs that waited are being answered. A call that
hangs then goes on hanging until its time-out, and comes after that."""

MIXES = {"usual": USUAL, "all 390 kB": LARGE}


LARGEST_MICRO = max(cost("bound", model, 390_000) for model in route(390_000))
"""What the next call may reserve."""

PROBES_MICRO = 500_000
"""Fifty cents for ten minutes, of all processes together."""


@pytest.fixture
def alone() -> tuple[Gate, Clock]:
    """A gate without Redis: the same steps, which a property test holds equal, and quicker."""
    clock = Clock()
    client = redis.Redis.from_url("redis://127.0.0.1:9/0", retry=None)
    return Gate(SharedState(client, clock=lambda: 0.0), clock=clock), clock


def hold(found: Found, storm: Storm) -> None:
    """What must be so after every storm."""
    assert found.spend <= CAP_MICRO - LARGEST_MICRO
    assert found.of_probes <= PROBES_MICRO
    # While probes are answered, whole calls try again and again: the breaker stays open for longer,
    # and the last calls hang.
    open_s = BreakerPolicy().longest_open_s if storm.answers_probes else 0
    hanging_s = storm.seconds if storm.answers_probes else 0
    assert found.first_served is not None
    assert found.first_served <= SERVED_S + open_s
    assert found.last_served <= SERVED_S + open_s + hanging_s


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("storm", STORMS)
def test_a_storm_fills_no_cap_and_users_are_served_soon_after_it(
    alone: tuple[Gate, Clock], storm: str, mix: str
) -> None:
    gate, clock = alone
    found = Play(gate, STORMS[storm], MIXES[mix], clock=clock).run()
    print(f"\n{storm}, {mix}: {found}")  # noqa: T201 - the figures of the promise
    hold(found, STORMS[storm])
    if not STORMS[storm].answers_probes:
        assert found.out_of_tries == 0, "the breaker keeps jobs from being tried to death"


def test_the_gate_in_redis_weathers_it_as_well(gate: Gate) -> None:
    storm = STORMS["reset after sending"]
    hold(Play(gate, storm, LARGE, clock=Clock()).run(), storm)
