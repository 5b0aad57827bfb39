"""A call with an unknown bill is settled once, with a reason, without a charge."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from aifeature.models import Attempt, AttemptState, Job, SpendWindow, transitions
from aifeature.models.transitions import Claimed, Settlement
from aifeature.services.spend.settlement import NotUnknownError, Tokens, settle_unknown
from tests.integration.controls.switch.test_switch import wait_for_lock
from tests.integration.job_rows import MakeCall, MakeJob, begin, claim, database_time
from tests.integration.spend.windows import of_a_call, windows

pytestmark = pytest.mark.django_db

BOUND = 1000


@pytest.fixture
def unknown(claimed: Claimed) -> UUID:
    """A call of a run that ended without it."""
    attempt = begin(claimed, bound=BOUND)
    transitions.return_to_queue(claimed, delay_s=0, counts_as_try=True)
    return attempt


def settle(attempt: UUID, usd: str, *, user_id: int | None = None, **more: Tokens) -> Attempt:
    return settle_unknown(
        attempt_id=attempt, cost_usd=Decimal(usd), reason="Usage page.", user_id=user_id, **more
    )


@pytest.fixture
def estimated(claimed: Claimed) -> UUID:
    """A call whose answer began and was cut off; it costs 300 at most."""
    attempt = begin(claimed, bound=BOUND)
    cut = Settlement(
        attempt, AttemptState.ESTIMATED, input_tokens=5, output_tokens=1, cost_micro=300
    )
    transitions.return_to_queue(claimed, delay_s=0, counts_as_try=True, settlement=cut)
    return attempt


@pytest.mark.parametrize(("usd", "micro"), [("0", 0), ("0.0001", 100), ("0.001", 1000)])
@pytest.mark.parametrize(("call", "counted"), [("unknown", BOUND), ("estimated", 300)])
def test_spend_becomes_the_cost_without_a_charge(
    request: pytest.FixtureRequest, call: str, counted: int, usd: str, micro: int
) -> None:
    unsure: UUID = request.getfixturevalue(call)
    assert windows() == of_a_call(counted)
    attempt = settle(unsure, usd)
    assert (attempt.state, attempt.cost_micro, attempt.spend_micro) == ("settled", micro, micro)
    assert windows() == of_a_call(micro)
    job = Job.objects.get()
    assert (job.status, job.charge_micro) == ("queued", 0)


def test_a_settled_call_has_person_time_and_reason(unknown: UUID, ada: User) -> None:
    before = database_time()
    ended_at = Attempt.objects.get().ended_at
    attempt = settle(unknown, "0.0007", user_id=ada.pk)
    assert (attempt.settled_by, attempt.settled_reason) == (ada, "Usage page.")
    assert attempt.ended_at == ended_at
    assert attempt.settled_at is not None
    assert before <= attempt.settled_at <= database_time()
    assert attempt.error_code == "run_failed"


def test_given_tokens_replace_stored_ones(claimed: Claimed) -> None:
    begun = begin(claimed)
    cut = Settlement(begun, AttemptState.UNKNOWN, input_tokens=5, cache_read_tokens=3)
    transitions.settle(claimed, cut)
    attempt = settle(begun, "0.0007", tokens=Tokens(output_tokens=9, cache_read_tokens=0))
    assert (attempt.input_tokens, attempt.output_tokens, attempt.cache_read_tokens) == (5, 9, 0)


@pytest.mark.parametrize(
    ("call", "usd", "micro", "counted"),
    [("unknown", "0.0025", 2500, BOUND), ("estimated", "0.0007", 700, 300)],
)
def test_a_cost_above_the_counted_one_is_logged_and_stored_in_full(
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
    call: str,
    usd: str,
    micro: int,
    counted: int,
) -> None:
    attempt = request.getfixturevalue(call)
    settle(attempt, usd)
    assert windows() == of_a_call(micro)
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    excess = f"settled at {micro} micro-dollars, above the counted maximum of {counted}"
    assert f"attempt {attempt}: {excess}" in error.getMessage()


@pytest.mark.parametrize(("call", "usd"), [("unknown", "0.001"), ("estimated", "0.0003")])
def test_a_cost_up_to_what_was_counted_is_no_error(
    request: pytest.FixtureRequest, call: str, usd: str, caplog: pytest.LogCaptureFixture
) -> None:
    settle(request.getfixturevalue(call), usd)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_the_windows_of_its_own_day_are_moved(make_call: MakeCall) -> None:
    call = make_call(AttemptState.UNKNOWN)
    call.day -= timedelta(days=3)
    call.pk = uuid4()
    call.number = 2
    call.save(force_insert=True)
    for day in (call.day, call.day + timedelta(days=3)):
        for scope, key in (("user", "summarize:1"), ("feature", "summarize"), ("global", "")):
            SpendWindow.objects.create(scope=scope, key=key, day=day, spent_micro=5000)
    settle(call.pk, "0.0007")
    spent = {(w.scope, w.day): w.spent_micro for w in SpendWindow.objects.all()}
    assert spent.pop(("feature", call.day)) == 4700
    assert spent.pop(("global", call.day)) == 4700
    assert set(spent.values()) == {5000}


def test_a_call_of_an_evaluation_changes_the_budget_of_evaluations(make_job: MakeJob) -> None:
    running = claim(make_job(origin="eval"))
    attempt = begin(running, bound=BOUND)
    transitions.return_to_queue(running, delay_s=0, counts_as_try=True)
    settle(attempt, "0.0007")
    found = {(w.scope, w.key): w.spent_micro for w in SpendWindow.objects.all()}
    assert found == {("feature", "_evals"): 700, ("global", ""): 700, ("month", ""): 700}


@pytest.mark.parametrize("call", ["unknown", "estimated"])
def test_a_call_is_settled_once(request: pytest.FixtureRequest, ada: User, call: str) -> None:
    attempt = request.getfixturevalue(call)
    settle(attempt, "0.0007", user_id=ada.pk)
    with pytest.raises(NotUnknownError, match=r"ada settled this call before, at .*: Usage page"):
        settle(attempt, "0.0001")
    assert windows()["global"] == (700, 0)
    assert Attempt.objects.get().cost_micro == 700


@pytest.mark.parametrize("state", ["started", "settled", "failed"])
def test_only_an_estimated_or_unknown_call_is_settled(make_call: MakeCall, state: str) -> None:
    call = make_call(AttemptState(state))
    wanted = f"This call is {state}: only an estimated or unknown one"
    with pytest.raises(NotUnknownError, match=wanted):
        settle(call.pk, "0.0007")
    assert Attempt.objects.get().state == state


def test_a_missing_call_is_not_settled() -> None:
    with pytest.raises(Attempt.DoesNotExist):
        settle(uuid4(), "0.0007")


@pytest.mark.parametrize(("usd", "reason"), [("1", " "), ("-0.000001", "r"), ("0.0000001", "r")])
def test_a_settlement_needs_a_reason_and_a_cost(unknown: UUID, usd: str, reason: str) -> None:
    with pytest.raises(ValueError, match="a settlement needs a reason and a cost"):
        settle_unknown(attempt_id=unknown, cost_usd=Decimal(usd), reason=reason, user_id=None)
    assert Attempt.objects.get().state == "unknown"


def test_of_two_settlements_one_counts(
    committed: None, ada: User, bob: User, unknown: UUID
) -> None:
    errors: list[str] = []

    def second() -> None:
        try:
            settle(unknown, "0.0001", user_id=bob.pk)
        except NotUnknownError as error:
            errors.append(str(error))
        finally:
            connection.close()

    other = threading.Thread(target=second)
    with transaction.atomic():
        settle(unknown, "0.0007", user_id=ada.pk)
        other.start()
        wait_for_lock()
    other.join(30)
    (sentence,) = errors
    assert sentence.startswith("ada settled this call before")
    assert windows()["global"] == (700, 0)
