"""Drives a run: submits its jobs, reads their ends, scores, and finds out when it is complete.

Each step reads and writes rows, and may be repeated: jobs have keys, so none is submitted twice.
Two processes may drive one run; they do the same work.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.db.models import Count, Q, Sum
from django.db.models.functions import Now

from aifeature import registry
from aifeature.reasons import FailureCode
from aifeature.services import evaluations
from aifeature.services.jobs.refusals import GuardAway, InvalidInput
from aifeature.spec import Feature
from aifeature.suites import Case
from evals.harness import conclude, costs, plan
from evals.models import Run, Sample
from evals.scoring import ScorerError, judging, plain, score

if TYPE_CHECKING:
    from django.contrib.auth.models import User

WINDOW: Final = 64
"""Most open jobs of a run. More would wait in the queue, and their deadlines would run on."""

BEAT_S: Final = 5.0
"""Seconds between two signs of life of a driver."""

DEADLINE_S: Final = 3600.0
"""Seconds in which a job ends, with its time in the queue. Each call has the feature's limit."""

OF_THE_FEATURE: Final = frozenset(
    {
        FailureCode.ANSWER_CUT_OFF,
        FailureCode.ANSWER_EMPTY,
        FailureCode.ANSWER_GARBLED,
        FailureCode.ANSWER_REFUSED,
        FailureCode.ANSWER_UNSAFE,
        FailureCode.OFF_TOPIC,
        FailureCode.OUTPUT_INVALID,
        FailureCode.WRONG_LANGUAGE,
    }
)
"""Failures of the evaluated feature itself: the case has failed. All others leave it unscored."""

OF_THE_BUDGET: Final = frozenset({FailureCode.BUDGET_SPENT})


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a run's samples."""

    total: int
    scored: int
    unscored: int
    spent_micro: int
    """Spend of the calls that were read, in micro-dollars."""
    open_micro: int
    """Spend of the others, calls under way at their bound."""
    paid: int
    """Samples whose calls cost something."""

    @property
    def done(self) -> int:
        return self.scored + self.unscored

    @property
    def is_complete(self) -> bool:
        return self.done == self.total


class Driver:
    """Drives one run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.feature: Feature = registry.get(run.feature)
        self._cases: Mapping[str, Case] = {case.id: case for case in plan.cases_of(run)}
        self._about = plan.about(run)
        self._owner: User = evaluations.account()
        self._beats_at = 0.0

    def step(self, *, until: float = math.inf) -> Progress:
        """Do what can be done now, and return the progress.

        Args:
            until: After this moment of the monotonic clock it begins no further sample.
        """
        self._beat()
        self._read_ends(until)
        progress = self.progress()
        if self.run.state == Run.State.RUNNING and not progress.is_complete:
            self._submit(progress, until)
        return progress

    def _beat(self) -> None:
        """Store that this run is driven, every few seconds."""
        if time.monotonic() >= self._beats_at:
            Run.objects.filter(pk=self.run.pk).update(driven_at=Now())
            self._beats_at = time.monotonic() + BEAT_S

    def progress(self) -> Progress:
        counts = self.run.samples.aggregate(
            total=Count("pk"),
            scored=Count("pk", filter=Q(state=Sample.State.SCORED)),
            unscored=Count("pk", filter=Q(state=Sample.State.UNSCORED)),
            spent=Sum("cost_micro"),
            paid=Count("pk", filter=Q(cost_micro__gt=0)),
        )
        running = self.run.samples.filter(state=Sample.State.RUNNING)
        jobs = [judge or job for job, judge in running.values_list("job", "judge_job")]
        return Progress(
            total=counts["total"],
            scored=counts["scored"],
            unscored=counts["unscored"],
            spent_micro=counts["spent"] or 0,
            open_micro=evaluations.spent_micro(job for job in jobs if job),
            paid=counts["paid"],
        )

    def _submit(self, progress: Progress, until: float) -> None:
        """Submit the next samples, as many as the window and the run's cap have room for."""
        under_way = self.run.samples.filter(state=Sample.State.RUNNING).count()
        spent = progress.spent_micro + progress.open_micro
        each = spent / progress.paid if progress.paid else 0.0
        pending = self.run.samples.filter(state=Sample.State.PENDING).order_by("pk")
        for sample in pending[: max(0, WINDOW - under_way)]:
            if time.monotonic() >= until:
                return
            if spent + each * (under_way + 1) > self.run.cap_micro:
                self._stop_if_idle(under_way)
                return
            self._start(sample)
            under_way += 1

    def _start(self, sample: Sample) -> None:
        """Submit the job of a sample. One whose output is stored only lacks its judgement."""
        self._beat()
        if sample.output is not None:
            self._score(sample)
            return
        if sample.arm == plan.PLAIN:
            self._answer_plain(sample)
            return
        try:
            job = evaluations.submit(
                owner=self._owner,
                slug=self.feature.slug,
                data=self._cases[sample.case].input,
                key=_key("eval", sample),
                nonce=_nonce("eval", sample),
                prompt_version=self.run.arms[_arm_of(sample)]["version"],
                deadline_s=DEADLINE_S,
            )
        except (InvalidInput, GuardAway) as error:
            _move(sample, **_unscored(f"Users cannot send this input: {_in_words(error)}."))
        else:
            _move(sample, job=job, state=Sample.State.RUNNING)

    def _stop_if_idle(self, under_way: int) -> None:
        if under_way == 0:
            self._stop(
                f"It may spend {costs.dollars(self.run.cap_micro)}, and the next call has no room."
                " Resume it with a higher --max-usd."
            )

    def _stop(self, note: str) -> None:
        """Stop the run, unless another process has ended it."""
        running = Run.objects.filter(pk=self.run.pk, state=Run.State.RUNNING)
        running.update(state=Run.State.STOPPED, note=note)
        self.run.refresh_from_db(fields=["state", "note"])

    def _read_ends(self, until: float) -> None:
        """Read the ends of jobs: outputs are scored or sent to the judge, judgements are stored."""
        running = list(self.run.samples.filter(state=Sample.State.RUNNING))
        wanted = [sample.judge_job or sample.job for sample in running]
        ends = {end.job: end for end in evaluations.ended(job for job in wanted if job)}
        for sample in running:
            end = ends.get(sample.judge_job or sample.job or UUID(int=0))
            if end is None:
                continue
            if time.monotonic() >= until:
                return
            self._beat()  # each output may take the scorers some seconds
            paid = {
                "cost_micro": sample.cost_micro + end.cost_micro,
                "attempts": [*sample.attempts, *(str(attempt) for attempt in end.attempts)],
            }
            if end.error_code in OF_THE_BUDGET:
                self._postpone(sample, paid)
            elif sample.judge_job:
                self._judged(sample, end, paid)
            else:
                self._answered(sample, end, paid)

    def _postpone(self, sample: Sample, paid: Mapping[str, Any]) -> None:
        """Leave a sample to be done when the budget of the day has room again."""
        if _move(sample, **_again(sample), **paid):
            self._stop("The budget of evaluations for the day is used up. Resume it tomorrow.")

    def _answered(self, sample: Sample, end: evaluations.Ended, paid: Mapping[str, Any]) -> None:
        values = {
            **paid,
            "model": end.model,
            "first_model": end.first_model,
            "latency_ms": end.latency_ms,
            "repaired": end.was_repaired,
        }
        expected_hash = self.run.arms[_arm_of(sample)]["hash"]
        if end.attempts and end.prompt_hash != expected_hash:
            problem = "The worker's prompt is not the one of this run: it runs other code."
            _move(sample, **values, **_unscored(problem))
        elif end.has_answer:
            self._score(sample, output=dict(end.result or {}), **values)
        elif end.error_code in OF_THE_FEATURE:
            problem = f"The feature gave no answer: {end.error_code}."
            _move(sample, **values, **_scored(passed=False, score=0.0), problem=problem)
        else:
            problem = f"Its job ended as {end.status}: {end.error_code or 'no code'}."
            _move(sample, **values, **_unscored(problem))

    def _answer_plain(self, sample: Sample) -> None:
        """Score a plain answer, which needs no call."""
        try:
            output = plain(self.feature, self._cases[sample.case].input)
        except ScorerError as error:
            _move(sample, **_unscored(f"{error}."))
        else:
            self._score(sample, output=output, latency_ms=0)

    def _score(self, sample: Sample, **values: Any) -> None:
        """Store these values, and score the output, or send it to the judge."""
        case, output = self._cases[sample.case], values.get("output", sample.output) or {}
        try:
            parts = score(self.feature, case, output)
        except ScorerError as error:
            _move(sample, **values, **_unscored(f"{error}."))
            return
        values["parts"] = [part.as_json() for part in parts]
        if not self._about.criteria:
            _move(sample, **values, **self._combined(values["parts"], None))
            return
        try:
            job = evaluations.submit(
                owner=self._owner,
                slug=plan.JUDGE,
                data=judging.exhibit(
                    self.feature, case, output, self._about.criteria, nonce=_nonce("judge", sample)
                ),
                key=_key("judge", sample),
                nonce=_nonce("judge", sample),
                prompt_version=(self.run.judge or {}).get("version", ""),
                deadline_s=DEADLINE_S,
            )
        except (InvalidInput, GuardAway) as error:
            _move(sample, **values, **_unscored(f"The judge cannot take it: {_in_words(error)}."))
        else:
            _move(sample, **values, judge_job=job, state=Sample.State.RUNNING)

    def _judged(self, sample: Sample, end: evaluations.Ended, paid: Mapping[str, Any]) -> None:
        if end.attempts and end.prompt_hash != (self.run.judge or {}).get("hash"):
            problem = "The judge's prompt is not the one of this run: its worker runs other code."
            _move(sample, **paid, **_unscored(problem))
            return
        if end.result is None:
            why = end.error_code or "no code"
            problem = f"The judge gave no valid judgement: {why}."
            _move(sample, **paid, **_unscored(problem))
            return
        scores = end.result["scores"]
        judged = {**paid, "judgement": scores, "judge_model": end.model}
        _move(sample, **judged, **self._combined(sample.parts, scores))

    def _combined(
        self, parts: Sequence[Mapping[str, Any]], judgement: Sequence[Mapping[str, Any]] | None
    ) -> dict[str, Any]:
        """Return the score of an output from the scorers' results and the judgement."""
        rules_hold = all(part["passed"] for part in parts)
        if judgement is None:
            return _scored(passed=rules_hold, score=float(rules_hold))
        least = self.feature.suite.least_score if self.feature.suite else 0.0
        found = judging.read(judgement, least=least)
        # The judge's scale counts only for an output that keeps the rules.
        return _scored(passed=rules_hold and found.passed, score=found.score if rules_hold else 0.0)

    def rescore(self) -> None:
        """Score the stored outputs again with today's scorers, without a call. Judgements stay."""
        for sample in self.run.samples.filter(output__isnull=False):
            if self._about.criteria and sample.judgement is None:
                continue  # unscored: the judge's part is missing
            case = self._cases[sample.case]
            try:
                parts = [part.as_json() for part in score(self.feature, case, sample.output or {})]
            except ScorerError as error:
                _move(sample, **_unscored(f"{error}."))
            else:
                scored = self._combined(parts, sample.judgement)
                _move(sample, parts=parts, problem="", **scored)

    def add_fresh(self, cases: Iterable[str]) -> int:
        """Add fresh repeats of the candidate for these cases. Return their number."""
        new = [
            Sample(run=self.run, arm=plan.FRESH, case=case, repeat=repeat)
            for case in cases
            for repeat in range(1, plan.MUST_REPEATS + 1)
        ]
        return len(Sample.objects.bulk_create(new, ignore_conflicts=True))


def left(run: Run, *, doubtful: Sequence[str] = ()) -> list[Sample]:
    """Return the samples without a score, and the fresh repeats that the driver will add."""
    fresh = [Sample(arm=plan.FRESH) for _ in doubtful for _ in range(plan.MUST_REPEATS)]
    return [*run.samples.exclude(state=Sample.State.SCORED), *fresh]


def reopen(run: Run, *, cap_micro: int, doubtful: Sequence[str] = ()) -> int:
    """Continue a run: its unscored samples are tried again. Return the number of open samples.

    `doubtful` cases need fresh repeats, which the driver adds; each counts as an open sample.
    An output that is stored stays, and only its judgement is made again.
    """
    with conclude.locked(run):
        run.refresh_from_db()
        for sample in run.samples.filter(state=Sample.State.UNSCORED):
            _move(sample, **_again(sample), problem="")
        left = run.samples.exclude(state=Sample.State.SCORED).count() + len(doubtful)
        if left or run.state != Run.State.ENDED:
            run.state, run.note, run.verdict, run.ended_at = Run.State.RUNNING, "", None, None
            run.cap_micro = max(run.cap_micro, cap_micro)
            run.save(update_fields=["state", "note", "verdict", "ended_at", "cap_micro"])
    return left


def _move(sample: Sample, **values: Any) -> bool:
    """Store values of a sample, unless another process has moved it since it was read."""
    unmoved = Sample.objects.filter(
        pk=sample.pk,
        state=sample.state,
        tries=sample.tries,
        job=sample.job,
        judge_job=sample.judge_job,
    )
    return unmoved.update(**values) > 0


def _in_words(error: InvalidInput | GuardAway) -> str:
    problems = (f"{each['field']}: {each['message']}" for each in error.errors)
    return ("; ".join(problems) or error.detail).rstrip(".")


def _scored(*, passed: bool, score: float) -> dict[str, Any]:
    return {"state": Sample.State.SCORED, "passed": passed, "score": score}


def _unscored(problem: str) -> dict[str, Any]:
    return {"state": Sample.State.UNSCORED, "problem": problem, "passed": None, "score": None}


def _again(sample: Sample) -> dict[str, Any]:
    """Return the values with which a sample is submitted once more, under a new key."""
    kept = sample.job if sample.output is not None else None
    return {
        "state": Sample.State.PENDING,
        "tries": sample.tries + 1,
        "job": kept,
        "judge_job": None,
    }


def _key(what: str, sample: Sample) -> str:
    """Return the key of a sample's job. A repetition with it returns the same job."""
    return f"{what}:{sample.pk}:{sample.tries}"


def _arm_of(sample: Sample) -> str:
    """Return the arm whose prompt a sample uses. Fresh repeats are the candidate's."""
    return plan.CANDIDATE if sample.arm == plan.FRESH else sample.arm


def _nonce(what: str, sample: Sample) -> str:
    """Return what makes a call of a sample differ from all others: a function of its row."""
    return random.Random(f"{what}:{sample.run_id}:{sample.pk}:{sample.tries}").randbytes(8).hex()  # noqa: S311 (no secret)
