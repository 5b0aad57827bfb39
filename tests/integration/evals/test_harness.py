"""A run ends with a verdict after any kill, and pays for each call once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.db.models import Avg
from django.db.models.functions import Now

from aifeature import registry, suites
from aifeature.models import Attempt, ControlChange, Job, Status
from aifeature.models.functions import rows
from aifeature.services.execution import job_run
from evals import cli, ready, report
from evals.commands import codes, driving, starting
from evals.harness import conclude, costs, drive, plan, repeats
from evals.harness.drive import Driver, reopen
from evals.models import ABANDONED_AFTER, Run, Sample
from evals.progress import Bar
from evals.scoring import Part, judging
from evals.statistics.verdict import Decision
from tests.sandbox_server import SandboxServer

pytestmark = pytest.mark.usefixtures("committed", "sandbox")

DOLLAR = 1_000_000
CASES = [
    {
        "id": f"timer-{n}",
        "input": {"ticket": f"The timer of quiz {n} does not show. The quiz is open for a week."},
        "expected": {"keywords": {"any": ["a", "e"]}},
        "tags": ["typical"],
    }
    for n in range(4)
]

Plan = Callable[..., Run]


@pytest.fixture
def planned(tmp_path: Path) -> Plan:
    """Plan a run of `triage` on a few cases."""
    file = tmp_path / "cases.jsonl"
    (tmp_path / "suite.toml").write_text('[tags]\ntypical = "A usual ticket"\n')

    def make(*, cases: list[dict[str, Any]] = CASES, reuse: bool = True, **values: Any) -> Run:
        file.write_text("\n".join(map(json.dumps, cases)))
        feature = registry.get("triage")
        wanted = {"candidate": "v1", "baseline": None, "repeats": 1, "cap_micro": DOLLAR, **values}
        suite = suites.load(feature, path=file)
        return plan.start(plan.Wanted(feature=feature, suite=suite, **wanted), reuse=reuse)

    return make


@pytest.fixture
def judged(planned: Plan, tmp_path: Path) -> Plan:
    """Plan a run of one case with a judge."""

    def make(**values: Any) -> Run:
        (tmp_path / "suite.toml").write_text(
            '[tags]\ntypical = "A usual ticket"\n[criteria]\nclear = "5: clear. 1: unclear."\n'
        )
        expected = {"reference": "The timer does not show."}
        return planned(cases=[{**CASES[0], "expected": expected}], **values)

    return make


def work(most: int | None = None) -> int:
    """Run queued jobs as a worker does. Return their number."""
    jobs = list(Job.objects.filter(status=Status.QUEUED).order_by("run_at")[:most])
    for job in jobs:
        job_run.run_feature(job.pk, worker="test")
    return len(jobs)


def driven(run: Run) -> Run:
    """Drive a run until nothing moves."""
    driver = Driver(run)
    while not driver.step().is_complete and run.state == Run.State.RUNNING:
        work()
    return run


def states(run: Run) -> set[str]:
    return set(run.samples.values_list("state", flat=True))


def test_a_run_scores_each_output_and_its_baseline_without_a_model(planned: Plan) -> None:
    run = driven(planned(repeats=2))
    assert states(run) == {"scored"}
    assert run.samples.filter(arm=plan.CANDIDATE).count() == 8
    assert run.samples.filter(arm=plan.PLAIN, cost_micro=0).count() == 4
    sample = run.samples.filter(arm=plan.CANDIDATE).earliest("pk")
    assert sample.output
    assert [part["scorer"] for part in sample.parts] == ["schema", "keywords"]
    assert Attempt.objects.filter(pk__in=sample.attempts, user=None).exists()


def test_a_repair_is_counted_in_the_outcome(planned: Plan, sandbox: SandboxServer) -> None:
    run = planned()
    sandbox.set_faults({"kind": "malformed_output", "times": 1})
    driven(run)
    repaired = run.samples.get(repaired=True)
    assert (repaired.arm, len(repaired.attempts)) == (plan.CANDIDATE, 2)
    found = conclude.verdict(run)
    assert found.candidate
    assert found.candidate.at_once == 3 / 4
    run.samples.filter(pk=repaired.pk).update(repaired=None)
    found = conclude.verdict(run)
    assert found.candidate
    assert found.candidate.at_once is None, "a sample of an earlier release"


def test_a_floor_is_audited_before_its_run_and_stored_with_the_verdict(
    planned: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = planned()
    change = ControlChange.objects.get(feature="triage", field="floor_sandbox")
    assert (change.new, change.check_name) == ("0.05", "floors")
    without_suite = registry.get("triage").model_copy(update={"suite": None})
    monkeypatch.setattr(registry, "get", lambda _: without_suite)
    found = conclude.conclude(driven(run))
    assert (found["floor"], found["floor_failures"] is None) == (0.05, False)
    assert "which stays in force" in found["reasons"][-1]


def test_a_suite_of_four_cases_is_no_evidence(planned: Plan) -> None:
    found = conclude.conclude(driven(planned()))
    assert found["decision"] == Decision.NOT_COMPARABLE
    assert "Evidence needs at least 50" in " ".join(found["reasons"])


def test_a_killed_driver_is_replaced_and_no_call_is_made_twice(planned: Plan) -> None:
    run = planned(baseline="v1")
    Driver(run).step()
    work(3)
    Sample.objects.filter(run=run, state="running").update(state="pending", job=None)  # not stored
    run = driven(Run.objects.get(pk=run.pk))
    assert states(run) == {"scored"}
    assert Job.objects.count() == Attempt.objects.count() == 8


def test_a_killed_worker_changes_no_result(planned: Plan) -> None:
    run = planned()
    Driver(run).step()
    rows("aif_claim_run", Job.objects.filter(status="queued").first().pk, "killed", 0.0)  # type: ignore[union-attr]
    work()
    lost = Job.objects.get(status=Status.RUNNING)
    job_run.run_feature(lost.pk, worker="another")
    run = driven(run)
    assert states(run) == {"scored"}
    assert Attempt.objects.count() == 4


def test_both_arms_are_called_in_turn(planned: Plan) -> None:
    run = planned(baseline="v1", repeats=2)
    arms = [s.arm for s in run.samples.exclude(arm=plan.PLAIN).order_by("pk")]
    for one, other in zip(arms[::2], arms[1::2], strict=True):
        assert {one, other} == {plan.CANDIDATE, plan.BASELINE}
    assert len({arms[n] for n in range(0, len(arms), 2)}) == 2


def test_a_case_that_may_never_break_is_repeated_three_times(planned: Plan) -> None:
    run = planned(cases=[{**CASES[0], "must": True}, *CASES[1:]])
    repeats = run.samples.filter(arm=plan.CANDIDATE, case="timer-0").count()
    assert (repeats, run.samples.filter(arm=plan.CANDIDATE).count()) == (3, 6)


def test_an_unusable_answer_fails_and_a_fault_of_the_machinery_is_unscored(
    planned: Plan, sandbox: SandboxServer
) -> None:
    run = planned()
    Driver(run).step()
    one, two, *_others = Job.objects.order_by("run_at")
    sandbox.set_faults({"kind": "refusal"})
    job_run.run_feature(one.pk, worker="test")
    sandbox.set_faults()
    Job.objects.filter(pk=two.pk).update(deadline_at="2020-01-01T00:00:00Z")
    job_run.run_feature(two.pk, worker="test")
    run = driven(run)
    found = {s.job: s for s in run.samples.filter(arm=plan.CANDIDATE)}
    assert (found[one.pk].state, found[one.pk].passed) == ("scored", False)
    assert found[two.pk].state == "unscored"
    assert "deadline_exceeded" in found[two.pk].problem
    verdict = conclude.conclude(run)
    assert verdict["unscored_share"] == 1 / 4
    assert verdict["decision"] == Decision.NOT_COMPARABLE


def test_an_input_that_users_cannot_send_is_unscored(planned: Plan) -> None:
    run = planned()
    run.cases["cases"][0]["input"] = {"ticket": "\u200b"}
    run.save()
    run = driven(run)
    sample = run.samples.get(arm=plan.CANDIDATE, case="timer-0")
    assert (sample.state, sample.job) == ("unscored", None)
    assert "cannot send this input" in sample.problem


def test_outputs_of_another_prompt_are_unscored(planned: Plan) -> None:
    run = planned()
    run.arms["candidate"]["hash"] = "0" * 64
    run.save()
    run = driven(run)
    assert run.samples.get(arm=plan.CANDIDATE, case="timer-0").state == "unscored"


def test_a_run_stops_at_its_cap_and_continues_with_a_higher_one(planned: Plan) -> None:
    run = planned()
    driver = Driver(run)
    driver.step()
    work()
    run.cap_micro = 1
    Sample.objects.filter(run=run, case="timer-3").update(state="pending", job=None)
    while run.state == Run.State.RUNNING:
        driver.step()
    assert "--max-usd" in run.note
    run.state, run.cap_micro = Run.State.RUNNING, DOLLAR
    assert states(driven(run)) == {"scored"}


def test_an_estimate_above_the_cap_starts_nothing(planned: Plan) -> None:
    with pytest.raises(plan.PlanError, match=r"estimated at \$.*--max-usd"):
        planned(cap_micro=1)
    assert not Run.objects.exists()


def test_no_room_in_the_budget_of_the_day_stops_and_loses_nothing(
    planned: Plan, settings: Any
) -> None:
    run = planned()
    settings.AIFEATURE = {**settings.AIFEATURE, "EVALS_DAILY_BUDGET_USD": 0}
    run = driven(run)
    assert (run.state, states(run)) == ("stopped", {"pending", "scored"})
    settings.AIFEATURE = {**settings.AIFEATURE, "EVALS_DAILY_BUDGET_USD": 20}
    run.state = Run.State.RUNNING
    assert states(driven(run)) == {"scored"}


def test_a_resumed_run_tries_unscored_samples_again_and_pays_for_both(planned: Plan) -> None:
    run = planned()
    Driver(run).step()
    Job.objects.update(deadline_at="2020-01-01T00:00:00Z")
    run = driven(run)
    conclude.conclude(run)
    assert run.samples.filter(state="unscored").count() == 4
    assert reopen(run, cap_micro=2 * DOLLAR) == 4
    assert (run.cap_micro, run.verdict) == (2 * DOLLAR, None)
    assert states(driven(run)) == {"scored"}
    assert Job.objects.count() == 8, "a new job for each, under a new key"
    conclude.conclude(run)
    assert reopen(run, cap_micro=DOLLAR) == 0
    assert run.state == Run.State.ENDED


def no_report(run: Run, to: Path | None = None) -> Path:
    raise OSError(28, "No space left on device")


def test_a_run_that_was_killed_before_its_verdict_ends_when_it_is_resumed(
    planned: Plan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ready, "missing", lambda: "")
    monkeypatch.setattr(report, "write", no_report)
    run = driven(planned())
    again = ["run", "--resume", str(run.pk)]
    assert cli.main(again) == codes.UNFINISHED, "four cases are no evidence"
    run.refresh_from_db()
    assert (run.state, bool(run.verdict)) == ("ended", True)
    assert cli.main([*again, "--ask"]) == codes.WRONG, "without a question"
    assert "are scored" in capsys.readouterr().err


def test_a_resume_shows_what_is_left_before_the_question(
    judged: Plan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ready, "missing", lambda: "")
    run = driven(judged(repeats=2))
    answers = run.samples.filter(arm=plan.CANDIDATE)
    answers.update(state="unscored", passed=None, score=None, judgement=None)
    answers.filter(repeat=2).update(output=None)
    shown: list[str] = []

    def answer(_: str) -> str:
        shown.append(capsys.readouterr().out)
        return "no"

    monkeypatch.setattr("builtins.input", answer)
    assert cli.main(["run", "--resume", str(run.pk), "--ask"]) == codes.WRONG
    left = costs.estimate(run, registry.get("triage"), drive.left(run))
    price = costs.dollars(left.micro)
    assert shown == [
        f"triage v1: 3 calls to make (2 by the judge), about {price} (at most $1.00 in all).\n"
    ]
    assert len(drive.left(run, doubtful=["timer-0"])) == 2 + plan.MUST_REPEATS
    assert states(run) == {"scored", "unscored"}


def test_each_run_of_a_command_ends_as_soon_as_it_is_complete(
    planned: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = driven(planned()), planned()

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    assert driving.drive_runs([one, two], sleep=interrupt) == codes.UNFINISHED
    printed, shown = capsys.readouterr()
    assert "Pass rate: " in printed, "the verdict of the first is not lost"
    assert (str(one.pk) in shown, str(two.pk) in shown) == (False, True), "to be resumed"
    Run.objects.update(driven_at=Now() - 2 * ABANDONED_AFTER)
    found = {run.pk: run for run in Run.objects.with_driver()}
    assert (found[one.pk].state, found[one.pk].is_abandoned) == ("ended", False)
    assert (found[two.pk].state, found[two.pk].is_abandoned) == ("running", True)


def test_a_command_that_is_late_ends_and_stops_no_run_of_another(planned: Plan) -> None:
    run = driven(planned())
    run.samples.filter(arm=plan.CANDIDATE).update(state="unscored", passed=None, score=None)
    late, other = Run.objects.get(pk=run.pk), Run.objects.get(pk=run.pk)
    driver = Driver(late)
    assert reopen(other, cap_micro=DOLLAR) == 4
    assert conclude.conclude(late) == {}, "it saw the run complete before it was opened again"
    assert (late.state, late.verdict, states(run)) == ("running", None, {"pending", "scored"})
    conclude.conclude(driven(other))
    driver._stop("The budget is used up.")
    assert (late.state, late.note) == ("ended", "")


def test_a_run_is_not_opened_again_while_it_is_concluded(
    planned: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = driven(planned())
    run.samples.update(state="unscored", passed=None, score=None)

    def open_again() -> None:
        reopen(Run.objects.get(pk=run.pk), cap_micro=DOLLAR)
        connection.close()

    other, rate = threading.Thread(target=open_again), conclude.rate

    def meanwhile(run: Run, arm: str) -> float | None:
        other.start()
        other.join(0.5)
        return rate(run, arm)

    monkeypatch.setattr(conclude, "rate", meanwhile)
    conclude.conclude(run)
    other.join()
    run.refresh_from_db()
    assert (run.state, run.verdict, states(run)) == ("running", None, {"pending"})


def test_a_command_does_not_wait_for_a_run_that_another_has_ended(planned: Plan) -> None:
    run = planned()
    driver = Driver(run)
    assert driving._is_under_way(driver, Bar(["triage"]))
    Run.objects.filter(pk=run.pk).update(state="ended", verdict={}, ended_at=Now())
    assert not driving._is_under_way(driver, Bar(["triage"])), "its samples are not scored"


def test_a_report_that_cannot_be_written_costs_no_verdict(
    planned: Plan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "write", no_report)
    runs = [driven(planned()), driven(planned())]
    assert driving.drive_runs(runs) == codes.UNFINISHED, "four cases are no evidence"
    assert {run.state for run in runs} == {"ended"}
    shown = capsys.readouterr()
    assert shown.err.count("There is no report of triage: OSError: [Errno 28] No space left") == 2
    assert shown.out.count("Pass rate: ") == 2


def test_an_invalid_judgement_is_made_again_and_the_output_stays(
    judged: Plan, sandbox: SandboxServer
) -> None:
    run = judged()
    driver = Driver(run)
    driver.step()
    work()
    sandbox.set_faults({"kind": "refusal"})
    while not driver.step().is_complete:
        work()
    sandbox.set_faults()
    sample = run.samples.get(arm=plan.CANDIDATE)
    assert (sample.state, sample.score) == ("unscored", None)
    assert "no valid judgement" in sample.problem
    assert reopen(run, cap_micro=DOLLAR)
    driven(run)
    again = run.samples.get(arm=plan.CANDIDATE)
    assert (again.state, again.job, again.output) == ("scored", sample.job, sample.output)
    assert again.cost_micro >= sample.cost_micro
    assert set(sample.attempts) < set(again.attempts)


def test_an_estimate_counts_answers_and_judgements_once_each(judged: Plan) -> None:
    first = judged(repeats=2)
    estimate = costs.estimate(first, registry.get("triage"), drive.left(first))
    assert (estimate.micro, estimate.answers) == (first.estimate_micro, 2)
    assert starting.calls(estimate) == "5 calls to make (3 by the judge)"
    run = driven(first)
    spent = dict(Attempt.objects.values_list("feature").annotate(Avg("cost_micro")))
    assert set(spent) == {"triage", "judge"}
    assert min(spent.values()) > 0
    second = judged(repeats=3)
    assert second.estimate_micro == pytest.approx(3 * spent["triage"] + 4 * spent["judge"], abs=1)
    run.samples.update(judge_job=None)
    third = judged(repeats=3)
    assert third.estimate_micro > 3 * spent["triage"], "without history by the length of the texts"


def test_a_process_that_is_late_changes_no_score(planned: Plan) -> None:
    run = planned()
    late = Driver(run)
    stale = list(run.samples.filter(arm=plan.CANDIDATE))
    driven(run)
    before = list(run.samples.order_by("pk").values())
    for sample in stale:
        late._start(sample)
    assert list(run.samples.order_by("pk").values()) == before


def test_repeats_are_chosen_by_how_much_answers_varied(planned: Plan, tmp_path: Path) -> None:
    feature = registry.get("triage")
    run = planned(repeats=2)
    suite = suites.load(feature, path=tmp_path / "cases.jsonl")
    assert "No earlier run" in repeats.choose(feature, suite).why
    conclude.conclude(driven(run))
    choice = repeats.choose(feature, suite)
    assert [rates.repeats for rates in choice.rates] == [1, 2, 3, 5]
    assert choice.repeats == 5, "four cases show no drop of 15 points"
    assert "more independent cases" in choice.why


@pytest.mark.parametrize(("flaky", "chosen"), [(0, 1), (60, 3)])
def test_the_chosen_repeats_are_those_that_the_answers_need(
    planned: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str], flaky: int, chosen: int
) -> None:
    cases = [{**CASES[0], "id": f"timer-{n}"} for n in range(100)]
    run = planned(cases=cases, repeats=2)
    run.samples.update(state="scored", passed=True, score=1.0)
    run.samples.filter(repeat=2, case__in=[f"timer-{n}" for n in range(flaky)]).update(
        passed=False, score=0.0
    )
    conclude.conclude(run)
    feature = registry.get("triage")
    suite = suites.load(feature, path=tmp_path / "cases.jsonl")
    wanted = plan.Wanted(feature, "v1", None, repeats.UNKNOWN, DOLLAR, suite)
    assert starting._with_repeats(wanted, reuse=True).repeats == chosen
    shown = capsys.readouterr().out
    number = "1 repeat" if chosen == 1 else f"{chosen} repeats"
    assert f"triage: {number} for each case. The fewest that find a drop of 15 points" in shown
    assert str(run.pk) in shown


def test_an_identical_baseline_of_today_is_taken(planned: Plan) -> None:
    conclude.conclude(driven(planned()))
    run = planned(baseline="v1", candidate="v1")
    assert run.samples.filter(arm=plan.BASELINE, state="pending").count() == 4, (
        "an A/A run is called"
    )
    run.kind = Run.Kind.COMPARE
    assert plan._reusable(run) is not None
    Sample.objects.filter(case="timer-0").update(repaired=None)
    assert plan._reusable(run) is None, "an earlier release did not store its repairs"
    Sample.objects.update(repaired=False)
    run.suite_hash = "0" * 64
    assert plan._reusable(run) is None


def test_a_case_that_is_deleted_during_a_run_stays_in_it(planned: Plan, tmp_path: Path) -> None:
    run = planned()
    (tmp_path / "cases.jsonl").unlink()
    run = driven(run)
    conclude.conclude(run)
    assert len(conclude.outcomes(run)) == 4


def test_new_scorers_are_applied_without_a_call(
    planned: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = driven(planned())
    calls = Attempt.objects.count()
    run.cases["cases"][0]["expected"] = {"keywords": {"all": ["no output has this"]}}
    run.save()
    Driver(run).rescore()
    passed = dict(run.samples.filter(arm=plan.CANDIDATE).values_list("case", "passed"))
    assert passed == {"timer-0": False, "timer-1": True, "timer-2": True, "timer-3": True}
    assert Attempt.objects.count() == calls


def test_an_interrupted_rescore_changes_nothing(
    planned: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = driven(planned())
    conclude.conclude(run)
    before = list(run.samples.order_by("pk").values())
    scored = iter(range(2))

    def interrupted(*_: object) -> list[Part]:
        if next(scored, None) is None:
            raise KeyboardInterrupt
        return [Part("keywords", passed=False)]

    monkeypatch.setattr(drive, "score", interrupted)
    assert cli.main(["rescore", str(run.pk)]) == codes.UNFINISHED
    assert list(run.samples.order_by("pk").values()) == before


def test_a_run_is_scored_and_concluded_under_its_lock(
    planned: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one order, so that no two commands wait for each other; simulations may take minutes."""
    run = driven(planned())
    conclude.conclude(run)
    found = []

    def look(*_: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SHOW idle_in_transaction_session_timeout")
            found.append(cursor.fetchone())
        with psycopg.connect(**connection.get_connection_params()) as other:
            row = other.execute("SELECT FROM evals_run FOR UPDATE SKIP LOCKED").fetchone()
            found.append(row)

    monkeypatch.setattr(conclude, "gate", look)
    monkeypatch.setattr(Driver, "rescore", look)
    assert cli.main(["rescore", str(run.pk)]) == codes.UNFINISHED
    assert found == [("15min",), None] * 2


def test_runs_of_different_suites_do_not_compare(planned: Plan) -> None:
    one, other = planned(), planned(cases=CASES[:3])
    assert conclude.incomparable(one, other)[0] == "They have different suites."
    for run in (one, other):
        conclude.conclude(driven(run))
    assert conclude.incomparable(one, one) == []


def test_a_case_that_changed_under_its_id_is_named_and_pairs_with_nothing(
    planned: Plan, tmp_path: Path
) -> None:
    before = planned()
    other = {**CASES[1], "input": {"ticket": "The timer shows the time of another quiz."}}
    noted = {**CASES[2], "note": "A note decides nothing."}
    after = planned(cases=[CASES[0], other, noted, {**CASES[3], "id": "timer-new"}])
    for run in (before, after):
        conclude.conclude(driven(run))
    changes = ["Changed cases: timer-1.", "Cases that are gone: timer-3.", "New cases: timer-new."]
    assert conclude.incomparable(after, before) == ["They have different suites.", *changes]
    assert cli.main(["compare", str(before.pk), str(after.pk)]) == codes.UNFINISHED
    suite = suites.load(registry.get("triage"), path=tmp_path / "cases.jsonl")
    assert plan.suite_changes(suite) == []
    after.delete()
    assert plan.suite_changes(suite)[1:] == changes
    assert str(before.pk) in plan.suite_changes(suite)[0]


def test_unscored_repeats_of_the_other_run_count_as_well(planned: Plan) -> None:
    one, other = driven(planned()), driven(planned())
    assert conclude.verdict(one, baseline=other).unscored_share == 0
    sample = other.samples.filter(arm=plan.CANDIDATE).earliest("pk")
    Sample.objects.filter(pk=sample.pk).update(state="unscored", passed=None, score=None)
    assert conclude.verdict(one, baseline=other).unscored_share == 2 / 8, "with its pair"


def test_arms_that_other_models_answered_do_not_compare(planned: Plan) -> None:
    run = driven(planned(baseline="v1"))
    reason = "Other models answered"
    assert reason not in " ".join(conclude.verdict(run).reasons)
    baseline = run.samples.filter(arm=plan.BASELINE)
    baseline.update(model="claude-opus-5-5")
    assert reason not in " ".join(conclude.verdict(run).reasons), "first answers count"
    for first_model in ("claude-opus-5-5", ""):  # empty: a sample of an earlier release
        baseline.update(first_model=first_model)
        found = conclude.verdict(run)
        assert found.decision == Decision.NOT_COMPARABLE
        assert found.reasons[0].startswith(reason)


def test_arms_that_other_models_judged_do_not_compare(judged: Plan) -> None:
    run = driven(judged(baseline="v1"))
    models = run.samples.filter(arm=plan.CANDIDATE).values_list("judge_model", flat=True)
    assert set(models) == {"claude-sonnet-5-5"}
    assert "Other models" not in " ".join(conclude.verdict(run).reasons)
    run.samples.filter(arm=plan.BASELINE).update(judge_model="claude-opus-5-5")
    found = conclude.verdict(run)
    assert found.decision == Decision.NOT_COMPARABLE
    assert found.reasons[0].startswith("Other models judged the candidate (claude-sonnet-5-5 100%)")


def test_a_feature_without_a_floor_does_not_pass_alone(planned: Plan) -> None:
    run = driven(planned())
    run.provider = "another"
    assert conclude.verdict(run).reasons[0] == "triage has no floor for another: set one."


def test_a_changed_run_is_not_resumed_and_a_cap_is_not_raised(
    planned: Plan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ready, "missing", lambda: "")
    driven_runs: list[Run] = []

    def drive_none(runs: list[Run]) -> int:
        driven_runs.extend(runs)
        return 0

    monkeypatch.setattr(driving, "drive_runs", drive_none)
    run = planned()
    assert cli.main(["run", "--resume", str(run.pk)]) == 0
    run.refresh_from_db()
    assert run.cap_micro == DOLLAR
    hashes = {**run.arms, "candidate": {**run.arms["candidate"], "hash": "0" * 64}}
    for values in ({"provider": "anthropic"}, {"scorer_hash": "0" * 64}, {"arms": hashes}):
        before = {name: getattr(run, name) for name in values}
        Run.objects.filter(pk=run.pk).update(**values)
        assert cli.main(["run", "--resume", str(run.pk)]) == codes.WRONG
        Run.objects.filter(pk=run.pk).update(**before)
    shown = capsys.readouterr().err
    assert "The provider is not that of the run" in shown
    assert "The code of the scorers is not that" in shown
    assert "The prompt v1 is not that" in shown
    assert len(driven_runs) == 1
    assert cli.main(["compare", str(run.pk), str(run.pk)]) == codes.WRONG


def test_a_crash_is_no_regression(
    planned: Plan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ready, "missing", lambda: "")
    run = planned()
    monkeypatch.setattr(Driver, "step", lambda _: 1 / 0)
    assert cli.main(["run", "--resume", str(run.pk)]) == codes.UNFINISHED
    shown = capsys.readouterr().err
    assert "ZeroDivisionError" in shown
    assert "There is no verdict" in shown


def test_judgements_of_plain_answers_wait_for_the_window_as_well(
    judged: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive, "WINDOW", 1)
    run = judged()
    Driver(run).step()
    assert Job.objects.count() == 1
    assert states(driven(run)) == {"scored"}


def test_an_output_that_the_judge_cannot_take_is_unscored(
    judged: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, exhibit = {"summary": "x" * 100_000}, judging.exhibit
    monkeypatch.setattr(judging, "exhibit", lambda f, c, _, r, **k: exhibit(f, c, long, r, **k))
    run = driven(judged())
    sample = run.samples.get(arm=plan.CANDIDATE)
    assert (states(run), sample.judge_job) == ({"unscored"}, None)
    assert sample.output
    assert sample.problem.startswith("The judge cannot take it: output: ")
    assert conclude.conclude(run)["decision"] == Decision.NOT_COMPARABLE


def test_a_judgement_of_another_prompt_is_unscored(judged: Plan) -> None:
    run = judged()
    run.judge = {**(run.judge or {}), "hash": "0" * 64}
    run.save()
    driven(run)
    sample = run.samples.get(arm=plan.CANDIDATE)
    assert (sample.state, sample.judgement) == ("unscored", None)
    assert "judge's prompt" in sample.problem
