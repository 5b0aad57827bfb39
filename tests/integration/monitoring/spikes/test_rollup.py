"""The sums of each hour equal those of the ledger at any time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection

from aifeature.models import Attempt, AttemptState, SpendHour
from aifeature.services.monitoring.spikes import rollup
from aifeature.services.monitoring.spikes.rollup import KEPT, prune, roll_up
from tests.integration.monitoring.spikes.conftest import NOON, call

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def sums() -> dict[tuple[str, str, int], tuple[int, int]]:
    """Spend and calls by scope, key, and hours before noon."""
    return {
        (row.scope, row.key, int((NOON - row.hour) / HOUR)): (row.spend_micro, row.calls)
        for row in SpendHour.objects.all()
    }


def test_calls_are_summed_for_user_feature_and_everything(ada: User, bob: User) -> None:
    call(5, user=ada, at=NOON - HOUR)
    call(7, user=ada, at=NOON - MINUTE)
    call(11, user=bob, at=NOON)
    call(13, user=None, feature="evals", at=NOON)
    roll_up(NOON + MINUTE)
    assert sums() == {
        ("user", f"summarize:{ada.pk}", 1): (12, 2),
        ("user", f"summarize:{bob.pk}", 0): (11, 1),
        ("feature", "summarize", 1): (12, 2),
        ("feature", "summarize", 0): (11, 1),
        ("feature", "evals", 0): (13, 1),
        ("global", "", 1): (12, 2),
        ("global", "", 0): (24, 2),
    }


@pytest.mark.parametrize(
    ("state", "own", "counted", "phantom"),
    [
        (AttemptState.STARTED, False, 100, 100),
        (AttemptState.UNKNOWN, False, 100, 100),
        (AttemptState.UNKNOWN, True, 100, 0),
        (AttemptState.ESTIMATED, False, 3, 3),
        (AttemptState.ESTIMATED, True, 3, 0),
        (AttemptState.SETTLED, False, 3, 0),
        (AttemptState.SETTLED, True, 3, 0),
        (AttemptState.FAILED, False, 3, 0),
    ],
)
def test_phantom_spend_excludes_calls_that_their_user_ended(
    state: AttemptState, own: bool, counted: int, phantom: int, ada: User
) -> None:
    attempt = call(3, state=state, bound=100, at=NOON, own=own, user=ada)
    roll_up(NOON + MINUTE)
    assert {(row.spend_micro, row.phantom_micro) for row in SpendHour.objects.all()} == {
        (counted, phantom)
    }
    assert attempt.spend_micro == counted


def test_a_call_is_phantom_until_it_is_settled() -> None:
    call(100, state=AttemptState.UNKNOWN, at=NOON)
    roll_up(NOON + MINUTE)
    Attempt.objects.update(
        state=AttemptState.SETTLED, cost_micro=100, settled_reason="Seen.", settled_at=NOON
    )
    assert roll_up(NOON + MINUTE) == 2
    assert not SpendHour.objects.exclude(phantom_micro=0).exists()


def test_summing_again_changes_nothing_and_a_settlement_is_followed() -> None:
    call(3, state=AttemptState.STARTED, bound=100, at=NOON - HOUR)
    assert roll_up(NOON + MINUTE) == 2
    assert roll_up(NOON + MINUTE) == 0
    Attempt.objects.update(state=AttemptState.SETTLED, cost_micro=3, ended_at=NOON)
    assert roll_up(NOON + MINUTE) == 2
    assert sums()["feature", "summarize", 1] == (3, 1)


def test_a_call_of_the_hour_before_is_followed_to_its_end() -> None:
    call(3, state=AttemptState.STARTED, bound=100, at=NOON - MINUTE)
    call(1, at=NOON)
    roll_up(NOON + MINUTE)
    Attempt.objects.filter(state="started").update(
        state=AttemptState.SETTLED, cost_micro=3, ended_at=NOON
    )
    roll_up(NOON + 50 * MINUTE)
    assert sums()["feature", "summarize", 1] == (3, 1)


def test_hours_that_were_missed_are_made_up_for() -> None:
    call(1, at=NOON)
    roll_up(NOON + MINUTE)
    for hour in range(6):
        call(10, at=NOON + hour * HOUR + 30 * MINUTE)
    roll_up(NOON + 9 * HOUR)
    found = {hour: spend for (scope, _, hour), (spend, _) in sums().items() if scope == "global"}
    assert found == {0: 11, -1: 10, -2: 10, -3: 10, -4: 10, -5: 10}


def test_the_first_run_sums_what_a_baseline_needs() -> None:
    call(1, at=NOON - timedelta(days=8))
    roll_up(NOON)
    assert sums()["global", "", 8 * 24] == (1, 1)


def test_hours_long_past_are_left_alone() -> None:
    """A run reads two hours only."""
    call(1, at=NOON - 3 * HOUR)
    SpendHour.objects.create(scope="global", key="", hour=NOON - HOUR, spend_micro=0, calls=0)
    roll_up(NOON)
    assert ("global", "", 3) not in sums()


def test_it_is_found_by_the_index_of_beginnings() -> None:
    for days in range(200):
        call(1, at=NOON - timedelta(days=days))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE aifeature_attempt")  # of an empty table every index costs the same
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN " + rollup._SUM_UP, {"since": NOON - HOUR, "until": NOON})
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "attempt_newest" in plan
    assert "Index Cond" in plan


def test_sums_are_forgotten_after_sixty_days() -> None:
    for days in (59, 61):
        SpendHour.objects.create(
            scope="global", key="", hour=NOON - timedelta(days=days), spend_micro=1, calls=1
        )
    assert prune(NOON) == 1
    assert SpendHour.objects.get().hour > NOON - KEPT
