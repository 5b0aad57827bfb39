"""After a storm of ten minutes no default cap is full, and users are soon served.

Time is simulated; the gate is not. `pytest -s` shows the figures.
"""

from __future__ import annotations

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

pytestmark = pytest.mark.slow

CAP_MICRO = 110_000_000
"""The daily cap of `summarize`."""

SERVED_S = 20.0
"""Most seconds from the end of a storm until all waiting jobs are called."""

MIXES = {"usual": USUAL, "all 390 kB": LARGE}


LARGEST_MICRO = max(cost("bound", model, 390_000) for model in route(390_000))
"""The largest reservation of a call."""

PROBES_MICRO = 500_000
"""Most spend of all probes in ten minutes."""


def played(name: str, mix: str) -> Found:
    """Play a storm on a gate without Redis, which is faster. A property test holds both equal."""
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
    # While probes are answered, calls are tried again and again; the last ones hang.
    hanging_s = storm.seconds if storm.answers_probes else 0
    assert found.last_served <= SERVED_S + hanging_s


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("storm", STORMS)
def test_a_storm_fills_no_cap_and_users_are_served_soon(storm: str, mix: str) -> None:
    found = played(storm, mix)
    fills_no_cap(found)
    users_are_served_soon(found, STORMS[storm])
    if not STORMS[storm].answers_probes:
        assert found.out_of_tries == 0, "the breaker keeps jobs from using up their tries"


def test_the_gate_in_redis_survives_a_storm(gate: RateGate) -> None:
    storm = STORMS["reset after sending"]
    found = Play(gate, storm, LARGE, clock=Clock()).run()
    fills_no_cap(found)
    users_are_served_soon(found, storm)
