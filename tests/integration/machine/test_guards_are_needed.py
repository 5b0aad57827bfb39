"""Without one of its guards, the machine finds the SQL functions at fault.

`MACHINE_MUTATIONS=all make test ARGS="-n0 tests/integration/machine/test_guards_are_needed.py"`
removes every guard of the tables, one after the other; a usual run removes a few.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from tests.integration.machine.database import load
from tests.integration.machine.job_life import JobLife
from tests.integration.machine.keeper_mutations import KEEPER_MUTATIONS
from tests.integration.machine.lanes import Lanes
from tests.integration.machine.mutations import MUTATIONS, Mutation, original
from tests.integration.machine.spend_mutations import SPEND_MUTATIONS
from tests.integration.machine.test_machine import EXAMPLES, STEPS

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(900)]

PLENTY = 40 * EXAMPLES
"""Mostly one of the first is enough; what the dice find late is found all the same."""

USUAL = {
    "claim leaves calls open",
    "finish ignores the epoch",
    "release ignores the epoch",
    "a cap is not looked at",
    "a reservation is not given back",
    "own spend is not counted",
    "shown text is charged above the spend",
}
ALL = (*MUTATIONS, *KEEPER_MUTATIONS, *SPEND_MUTATIONS)
CHOSEN = [
    mutation
    for mutation in ALL
    if mutation.name in USUAL or os.environ.get("MACHINE_MUTATIONS") == "all"
]


@pytest.fixture
def without_guard(
    told: str, lanes: Lanes, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The machine's database lacks the guard while the test runs."""
    mutation: Mutation = request.param
    monkeypatch.setattr(JobLife, "lanes", lanes, raising=False)
    load(told, mutation.text())
    yield
    load(told, original(mutation.file))


@pytest.mark.parametrize(
    "without_guard", CHOSEN, ids=[mutation.name for mutation in CHOSEN], indirect=True
)
def test_the_machine_finds_that_a_guard_is_gone(without_guard: None) -> None:
    # Two threads may end a race either way, so a failure need not come back when it is repeated.
    with pytest.raises((AssertionError, Flaky)):
        run_state_machine_as_test(
            JobLife,
            settings=settings(
                max_examples=PLENTY,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                report_multiple_bugs=False,  # the first is enough
                suppress_health_check=list(HealthCheck),
            ),
        )


def test_every_guard_of_the_table_stands_in_the_functions() -> None:
    assert all(mutation.text() != original(mutation.file) for mutation in ALL)
    assert {mutation.name for mutation in ALL} >= USUAL
