"""Random calls of users, workers and dispatchers have the results of the model.

`MACHINE_EXAMPLES=5000 make test ARGS="-n0 --timeout=0 tests/integration/machine/test_machine.py"`
runs more examples than a usual run. A failure prints the calls that lead to it.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.integration.machine.job_life import JobLife
from tests.integration.machine.lanes import Lanes

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
