"""Random calls of users, workers and dispatchers have the results of the model.

`MACHINE_EXAMPLES=5000 make test ARGS="-n0 --timeout=0 tests/integration/machine/test_machine.py"`
runs more examples than a usual run. A failure prints the calls that lead to it.
"""

from __future__ import annotations

import os
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.integration.machine import transactions
from tests.integration.machine.calls import Submit, Switch
from tests.integration.machine.database import FEATURES, USERS
from tests.integration.machine.job_life import JobLife
from tests.integration.machine.lanes import Lanes
from tests.integration.machine.rows import JobRow
from tests.integration.machine.sweep_calls import Dispatch
from tests.integration.machine.view import GLOBAL

pytestmark = pytest.mark.django_db  # creates the test database that is copied

EXAMPLES = 50
STEPS = 50


@pytest.mark.timeout(900)  # Hypothesis shrinks a failure before it prints it
def test_database_follows_the_model_in_any_order_of_calls(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobLife, "lanes", lanes, raising=False)
    run_state_machine_as_test(
        JobLife,
        settings=settings(
            max_examples=int(os.environ.get("MACHINE_EXAMPLES", EXAMPLES)),
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("feature", [FEATURES[0], GLOBAL])
def test_dispatcher_that_waited_for_the_turn_reads_the_switch_again(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch, feature: str, end: str
) -> None:
    """Random calls rarely pull a switch while a dispatcher waits."""
    monkeypatch.setattr(JobLife, "lanes", lanes, raising=False)
    monkeypatch.setattr(transactions, "note", print)
    life = JobLife()
    try:
        for job in (UUID(int=1), UUID(int=2)):
            life.send(Submit(job, USERS[0], FEATURES[0], None, marked=False))
        life.send(Dispatch(1), "HOLD")
        life.send(Switch(feature, killed=True), "HOLD")
        first, switch = life.open()
        life.send(Dispatch(2))
        (second,) = life.under_way()
        life.end(switch, end)
        life.end(first, "COMMIT")  # the machine compares the answer of the second dispatcher
        assert second.is_open
        life.end(second, "COMMIT")
    finally:
        life.teardown()
    assert [row.published_at is not None for row in _jobs(life)] == [True, end == "ROLLBACK"]


def _jobs(life: JobLife) -> list[JobRow]:
    rows = (life.world["job", UUID(int=number)] for number in (1, 2))
    return [row for row in rows if isinstance(row, JobRow)]
