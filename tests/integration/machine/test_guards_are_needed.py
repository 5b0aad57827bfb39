"""The machine finds the defect when one guard of the SQL functions is removed.

`MACHINE_MUTATIONS=all make test ARGS="-n0 tests/integration/machine/test_guards_are_needed.py"`
removes every guard of the tables, one at a time. A usual run removes a few.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from aifeature import sql
from tests.integration.machine.database import without_guard
from tests.integration.machine.eval_mutations import EVAL_MUTATIONS
from tests.integration.machine.job_life import JobLife
from tests.integration.machine.keeper_mutations import KEEPER_MUTATIONS
from tests.integration.machine.lanes import Lanes
from tests.integration.machine.mutations import MUTATIONS, Mutation
from tests.integration.machine.spend_mutations import SPEND_MUTATIONS
from tests.integration.machine.test_machine import EXAMPLES, STEPS

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(900)]

MAX_EXAMPLES = 40 * EXAMPLES
"""Most guards need few examples. Some defects are found late."""

SEED = 4
"""Of the random walks. Another seed may find a defect after minutes instead of seconds."""

USUAL = {
    "claim leaves calls open",
    "finish ignores the epoch",
    "release keeps the epoch",
    "a cap is not checked",
    "a reservation is not returned",
    "own spend is not counted",
    "shown text is charged above the spend",
    "the feature pays for its evaluations",
}
ALL = (*MUTATIONS, *KEEPER_MUTATIONS, *SPEND_MUTATIONS, *EVAL_MUTATIONS)
CHOSEN = [
    mutation
    for mutation in ALL
    if mutation.name in USUAL or os.environ.get("MACHINE_MUTATIONS") == "all"
]


@pytest.mark.parametrize("mutation", CHOSEN, ids=lambda mutation: mutation.name)
def test_machine_finds_a_removed_guard(database_url: str, lanes: Lanes, mutation: Mutation) -> None:
    @seed(SEED)
    class Life(JobLife):
        pass

    Life.lanes = lanes
    # A race may end differently when it is repeated, so a failure may not repeat.
    with without_guard(database_url, mutation), pytest.raises((AssertionError, Flaky)):
        run_state_machine_as_test(
            Life,
            settings=settings(
                max_examples=MAX_EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                report_multiple_bugs=False,  # the first is enough
                suppress_health_check=list(HealthCheck),
            ),
        )


def test_every_guard_of_the_tables_is_in_the_functions() -> None:
    assert all(mutation.text() != sql.text(mutation.file) for mutation in ALL)
    assert {mutation.name for mutation in ALL} >= USUAL
