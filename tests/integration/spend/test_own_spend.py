"""Own spend has caps of its own, and shown text is charged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection
from django.db.models.functions import Now

from aifeature import sql
from aifeature.features.summarize.feature import FEATURE
from aifeature.models import (
    Attempt,
    AttemptState,
    CancelledBy,
    FeatureControl,
    Job,
    SpendWindow,
    Status,
    reconciliation,
    transitions,
)
from aifeature.models.functions import rows
from aifeature.models.transitions import AttemptRefusedError, Caps, Claimed, Settlement
from aifeature.services.controls import effective
from aifeature.services.jobs import lifecycle
from aifeature.services.jobs.refusals import BudgetExhausted
from aifeature.system_checks import budgets_of
from tests.integration.job_rows import MakeJob, begin, claim
from tests.integration.models.guarded_rows import refused
from tests.integration.spend.windows import today

pytestmark = pytest.mark.django_db

CEILING = 600
BOUND = 1000
SHOWN = "The first sentence."
WORTH = 250


def own_spend() -> dict[str, int]:
    return {
        w.scope: w.own_spend_micro
        for w in SpendWindow.objects.filter(scope__in=["user", "account"])
    }


def cut(run: Claimed, state: AttemptState = AttemptState.ESTIMATED, **changed: Any) -> Settlement:
    """Return the settlement of a call that was cut off."""
    cost = CEILING if state == AttemptState.ESTIMATED else 0
    return Settlement(begin(run, bound=BOUND), state, cost_micro=cost, **changed)


def cancelled(
    make_job: MakeJob, by: CancelledBy | str = CancelledBy.USER, **changed: Any
) -> tuple[Job, Attempt]:
    """Cancel a job whose call has shown a sentence."""
    run = claim(make_job())
    values: dict[str, Any] = {"ended_by": "user", "delivered_text": SHOWN, "delivered_micro": WORTH}
    end = cut(run, **(values | changed))
    if by:
        rows("aif_cancel_by", run.job, run.user_id, "It was cancelled.", str(by))
    else:  # a process of the release before
        rows("aif_cancel", run.job, run.user_id, "It was cancelled.")
    transitions.finish(run, Status.CANCELLED, error_code="cancelled", settlement=end)
    return Job.objects.get(pk=run.job), Attempt.objects.get(pk=end.attempt)


@pytest.mark.parametrize(
    ("state", "ended_by", "cancels", "counted"),
    [
        (AttemptState.ESTIMATED, "user", True, CEILING),
        (AttemptState.UNKNOWN, "user", True, BOUND),
        (AttemptState.ESTIMATED, "", False, 0),
        (AttemptState.UNKNOWN, "", False, 0),
        (AttemptState.FAILED, "user", True, 0),
        (AttemptState.ESTIMATED, "", True, 0),
    ],
)
def test_only_calls_that_the_user_cuts_count(
    claimed: Claimed, state: AttemptState, ended_by: str, cancels: bool, counted: int
) -> None:
    end = cut(claimed, state, ended_by=ended_by)
    if cancels:
        transitions.cancel(claimed.job, user_id=claimed.user_id, message="You did.")
    transitions.return_to_queue(claimed, delay_s=0, counts_as_try=False, settlement=end)
    assert own_spend() == {"user": counted, "account": counted}
    assert Attempt.objects.get().own_spend == bool(counted)


def test_a_lost_worker_costs_the_user_nothing(claimed: Claimed) -> None:
    begin(claimed, bound=BOUND)
    transitions.return_to_queue(claimed, delay_s=0, counts_as_try=True)
    assert own_spend() == {"user": 0, "account": 0}


def test_an_answer_that_was_not_accepted_counts_for_its_user(claimed: Claimed) -> None:
    """A repair, or a refusal by a later model, is billed and never charged."""
    end = Settlement(begin(claimed), AttemptState.SETTLED, cost_micro=700)
    transitions.settle(claimed, end)
    assert own_spend() == {"user": 700, "account": 700}
    assert SpendWindow.objects.get(scope="user").spent_micro == 0


@pytest.mark.parametrize(
    ("caps", "verdict"),
    [
        (Caps(user_spend=CEILING + BOUND - 1), "budget_spent user_spend"),
        (Caps(account=CEILING + BOUND - 1), "budget_spent account"),
        (Caps(user_spend=BOUND - 1), "budget_spent user_spend"),
        (Caps(account=BOUND - 1), "budget_spent account"),
    ],
)
def test_cancelled_calls_use_up_the_spend_cap(make_job: MakeJob, caps: Caps, verdict: str) -> None:
    cancelled(make_job)
    before = list(SpendWindow.objects.order_by("pk").values())
    with pytest.raises(AttemptRefusedError) as refusal:
        begin(claim(make_job()), bound=BOUND, caps=caps)
    assert f"{refusal.value.verdict} {refusal.value.scope}" == verdict
    assert list(SpendWindow.objects.order_by("pk").values()) == before, "reserved in none"


@pytest.mark.parametrize("caps", [Caps(user_spend=1500), Caps(account=1500)])
def test_a_held_cap_is_waited_for(make_job: MakeJob, caps: Caps) -> None:
    begin(claim(make_job()), bound=BOUND)
    with pytest.raises(AttemptRefusedError, match="budget_held"):
        begin(claim(make_job()), bound=BOUND, caps=caps)


def test_an_account_sums_the_features_of_one_user(make_job: MakeJob, bob: User) -> None:
    for feature in ("summarize", "triage"):
        run = claim(make_job(feature=feature))
        end = cut(run, ended_by="user")
        transitions.cancel(run.job, user_id=run.user_id, message="You did.")
        transitions.return_to_queue(run, delay_s=0, counts_as_try=False, settlement=end)
    caps = Caps(user_spend=BOUND + CEILING, account=2 * CEILING + BOUND - 1)
    with pytest.raises(AttemptRefusedError, match="budget_spent account"):
        begin(claim(make_job(feature="answer")), bound=BOUND, caps=caps)
    begin(claim(make_job(user=bob)), bound=BOUND, caps=caps)


def test_shown_text_is_charged_and_kept(make_job: MakeJob) -> None:
    job, call = cancelled(make_job)
    assert (job.status, job.cancelled_by, job.partial_text) == ("cancelled", "user", SHOWN)
    assert (job.charge_micro, job.model, job.result) == (WORTH, call.model, None)
    for scope in ("user", "account"):
        window = SpendWindow.objects.get(scope=scope)
        assert (window.spent_micro, window.own_spend_micro) == (WORTH, CEILING)


def test_the_charge_is_never_more_than_the_ledger_counts(make_job: MakeJob) -> None:
    job, _ = cancelled(make_job, delivered_micro=CEILING + 1)
    assert job.charge_micro == CEILING


@pytest.mark.parametrize("by", ["staff", "switch", "erasure", ""])
def test_a_cancellation_by_others_charges_nothing(make_job: MakeJob, by: str) -> None:
    job, call = cancelled(make_job, by)
    assert (job.charge_micro, job.partial_text, job.cancelled_by) == (0, "", by)
    assert SpendWindow.objects.get(scope="user").spent_micro == 0
    assert not call.own_spend, "the spend cap of the user is unchanged"


def test_a_deadline_does_not_replace_a_cancellation(make_job: MakeJob) -> None:
    """A process of the release before cancelled the job, without an author."""
    run = claim(make_job())
    rows("aif_cancel", run.job, run.user_id, "It was cancelled.")
    transitions.finish(run, Status.FAILED, error_code="deadline_exceeded", error_message="Late.")
    assert Job.objects.get().cancelled_by == ""


def test_a_deadline_that_ends_a_run_is_recorded(claimed: Claimed) -> None:
    transitions.finish(
        claimed, Status.FAILED, error_code="deadline_exceeded", error_message="Late."
    )
    assert Job.objects.get().cancelled_by == "deadline"


def test_nothing_shown_nothing_charged(make_job: MakeJob) -> None:
    job, _ = cancelled(make_job, delivered_text="")
    assert (job.charge_micro, job.partial_text) == (0, "")


@pytest.mark.parametrize("end", ["failed", "released"])
def test_no_failure_and_no_retry_charges_shown_text(make_job: MakeJob, end: str) -> None:
    run = claim(make_job())
    settlement = cut(run, delivered_text=SHOWN, delivered_micro=WORTH)
    if end == "failed":
        transitions.finish(run, Status.FAILED, error_code="poison", settlement=settlement)
    else:
        transitions.return_to_queue(run, delay_s=0, counts_as_try=True, settlement=settlement)
    job = Job.objects.get(pk=run.job)
    assert (job.charge_micro, job.partial_text) == (0, "")
    assert SpendWindow.objects.get(scope="user").spent_micro == 0


def test_the_first_author_of_a_cancellation_is_kept(make_job: MakeJob, ada: User) -> None:
    run = claim(make_job())
    FeatureControl.objects.create(feature="summarize", killed=True, kill_mode="cancel")
    rows("aif_cancel_stopped", 10, "The feature was stopped.")
    transitions.cancel(run.job, user_id=ada.pk, message="You did.")
    job = Job.objects.get()
    assert (job.cancelled_by, job.error_message) == ("switch", "The feature was stopped.")
    refused(job, "Who cancelled a job first stays on record.", cancelled_by="user")


def test_a_charge_without_kept_text_is_refused_by_the_database(make_job: MakeJob) -> None:
    run = claim(make_job())
    rows("aif_cancel_by", run.job, run.user_id, "You did.", "user")
    job = Job.objects.get()
    ended = {"status": Status.CANCELLED, "lease_until": None, "finished_at": job.created_at}
    refused(job, "A job is charged once", charge_micro=5, **ended)
    with pytest.raises(IntegrityError, match="Only a cancelled job keeps a partial text"):
        Job.objects.filter(pk=job.pk).update(partial_text=SHOWN)


def test_the_reconciler_removes_a_charge_without_text(make_job: MakeJob) -> None:
    """The triggers prevent such a row."""
    job, _ = cancelled(make_job)
    assert reconciliation.reconcile(job.created_at.date(), repair=False) == []
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # required by ALTER TABLE
        cursor.execute("ALTER TABLE aifeature_job DISABLE TRIGGER job_guard")
        cursor.execute("UPDATE aifeature_job SET partial_text = ''")
        cursor.execute("ALTER TABLE aifeature_job ENABLE TRIGGER job_guard")
    drifts = reconciliation.reconcile(job.created_at.date(), repair=True)
    assert {drift.scope: drift.spent_micro for drift in drifts} == {"user": WORTH, "account": WORTH}
    assert SpendWindow.objects.get(scope="user").spent_micro == 0


def test_a_charge_stays_when_its_text_is_blanked(make_job: MakeJob) -> None:
    job, _ = cancelled(make_job)
    Job.objects.filter(pk=job.pk).update(partial_text="", content_blanked_at=Now())
    assert reconciliation.reconcile(job.created_at.date(), repair=True) == []
    assert SpendWindow.objects.get(scope="user").spent_micro == WORTH


def test_settling_corrects_own_spend_and_not_the_charge(make_job: MakeJob) -> None:
    job, call = cancelled(make_job)
    assert transitions.settle_unknown(
        call.pk, user_id=None, reason="Usage page.", figures={"cost_micro": 50}
    )
    assert own_spend() == {"user": 50, "account": 50}
    job.refresh_from_db()
    assert job.charge_micro == WORTH


def test_settling_a_call_of_an_outage_is_no_own_spend(claimed: Claimed) -> None:
    answered = Settlement(begin(claimed), AttemptState.SETTLED, cost_micro=700)
    transitions.settle(claimed, answered)
    end = cut(claimed, AttemptState.UNKNOWN)
    transitions.return_to_queue(claimed, delay_s=0, counts_as_try=False, settlement=end)
    transitions.settle_unknown(
        end.attempt, user_id=None, reason="Usage page.", figures={"cost_micro": 50}
    )
    assert own_spend() == {"user": 700, "account": 700}
    assert SpendWindow.objects.get(scope="feature").spent_micro == 750


def test_accounts_begin_with_what_their_features_hold(make_job: MakeJob, bob: User) -> None:
    """The statement of the migration, on rows of the release before."""
    cancelled(make_job)
    begin(claim(make_job(feature="triage")), bound=70)
    begin(claim(make_job(user=bob)), bound=80)
    values = ("key", "day", "spent_micro", "held_micro", "own_spend_micro")
    accounts = SpendWindow.objects.filter(scope="account").order_by("key")
    before = list(accounts.values(*values))
    assert len(before) == 2
    accounts.delete()
    (load,) = sql.load("accounts")
    with connection.cursor() as cursor:
        cursor.execute(str(load.sql))
    assert list(accounts.values(*values)) == before


@pytest.mark.usefixtures("committed", "opened")
def test_a_user_of_two_features_neither_overshoots_nor_deadlocks(make_job: MakeJob) -> None:
    """Calls of both features lock their own window, then that of the account."""
    runs = [claim(make_job(feature=f)) for _ in range(12) for f in ("summarize", "triage")]
    caps = Caps(user_spend=5_000, account=7_000)

    def call(run: Claimed) -> str:
        try:
            attempt = begin(run, bound=BOUND, caps=caps)
            end = Settlement(attempt, AttemptState.SETTLED, cost_micro=BOUND)
            transitions.return_to_queue(run, delay_s=0, counts_as_try=False, settlement=end)
        except AttemptRefusedError as refusal:
            return refusal.verdict
        finally:
            connection.close()
        return "sent"

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(call, runs))
    assert found.count("sent") <= 7
    assert set(found) <= {"sent", "budget_spent", "budget_held"}
    assert SpendWindow.objects.get(scope="account").own_spend_micro == 1_000 * found.count("sent")
    assert all(w.own_spend_micro <= 5_000 for w in SpendWindow.objects.filter(scope="user"))


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize(
    ("scope", "of_what"),
    [("user", "limit for this feature."), ("account", "limit for all features together.")],
)
def test_a_user_at_the_limit_is_refused(ada: User, scope: str, of_what: str) -> None:
    feature = effective.caps(FEATURE)
    cap = feature.user_spend if scope == "user" else feature.account
    assert cap is not None
    key = f"summarize:{ada.pk}" if scope == "user" else str(ada.pk)
    SpendWindow.objects.create(scope=scope, key=key, day=today(), own_spend_micro=cap)
    with pytest.raises(
        BudgetExhausted, match="Cancelled and repeated requests count too"
    ) as refusal:
        lifecycle.submit(user=ada, slug="summarize", data={"document": "Text."})
    assert of_what in refusal.value.detail
    assert "It starts again at 00:00 UTC." in refusal.value.detail
    assert refusal.value.retry_after_s is not None


def test_spend_caps_follow_what_users_may_be_charged(db: None) -> None:
    caps = effective.caps(FEATURE)
    assert (caps.user, caps.user_spend, caps.account) == (10_000_000, 20_000_000, 20_000_000)
    change = {"user_daily_budget_usd": Decimal(3)}
    effective.change("summarize", change, reason="test", check_name="test")
    assert (effective.caps(FEATURE).user_spend, effective.caps(FEATURE).account) == (6_000_000,) * 2
    change = {"user_daily_spend_usd": Decimal(4)}
    effective.change("summarize", change, reason="test", check_name="test")
    assert effective.caps(FEATURE).user_spend == 4_000_000
    effective.change(effective.GLOBAL, change | {"user_daily_spend_usd": Decimal(2)}, reason="t")
    assert effective.caps(FEATURE).account == 2_000_000


@pytest.mark.parametrize(
    ("limits", "ids"),
    [
        ({}, []),
        ({"daily_budget_usd": Decimal("99.99")}, ["aifeature.W002"]),
        ({"user_daily_spend_usd": Decimal(5)}, ["aifeature.E004"]),
        ({"user_daily_budget_usd": None}, []),
        (
            {"user_daily_budget_usd": Decimal(3), "user_daily_spend_usd": Decimal(20)},
            ["aifeature.E004"],
        ),
        ({"user_daily_budget_usd": Decimal(1)}, ["aifeature.E004"]),
    ],
)
def test_a_wrong_spend_cap_is_found_at_boot(limits: dict[str, Any], ids: list[str]) -> None:
    changed = FEATURE.model_copy(update={"limits": FEATURE.limits.model_copy(update=limits)})
    assert [problem.id for problem in budgets_of(changed)] == ids
