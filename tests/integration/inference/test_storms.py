"""After ten minutes of any storm no default cap refuses anybody; afterwards users are served soon.

Time is simulated, the gate is the real one. The figures are printed: `pytest -s` shows them.
"""

from __future__ import annotations

from functools import cache

import pytest
import redis

from tests.integration.inference.storm import (
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
from workers.inference.rate_gate import RateGate
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


@cache
def played(name: str, mix: str) -> Found:
    """A storm on a gate without Redis: a property test holds its steps equal, and it is quicker."""
    clock = Clock()
    client = redis.Redis.from_url("redis://127.0.0.1:9/0", retry=None)
    gate = RateGate(SharedState(client, clock=lambda: 0.0), clock=clock)
    found = Play(gate, STORMS[name], MIXES[mix], clock=clock).run()
    print(f"\n{name}, {mix}: {found}")  # noqa: T201 - the figures of the promise
    return found


def fills_no_cap(found: Found) -> None:
    assert found.spend <= CAP_MICRO - LARGEST_MICRO
    assert found.of_probes <= PROBES_MICRO


def users_are_served_soon(found: Found, storm: Storm) -> None:
    assert found.first_served is not None
    assert found.first_served <= SERVED_S
    # While probes are answered, whole calls try again and again; the last ones hang.
    hanging_s = storm.seconds if storm.answers_probes else 0
    assert found.last_served <= SERVED_S + hanging_s


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("storm", STORMS)
def test_a_storm_fills_no_cap(storm: str, mix: str) -> None:
    found = played(storm, mix)
    fills_no_cap(found)
    if not STORMS[storm].answers_probes:
        assert found.out_of_tries == 0, "the breaker keeps jobs from being tried to death"


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("storm", STORMS)
def test_users_are_served_soon_after_a_storm(storm: str, mix: str) -> None:
    users_are_served_soon(played(storm, mix), STORMS[storm])


def test_the_gate_in_redis_weathers_it_as_well(gate: RateGate) -> None:
    storm = STORMS["reset after sending"]
    found = Play(gate, storm, LARGE, clock=Clock()).run()
    fills_no_cap(found)
    users_are_served_soon(found, storm)
