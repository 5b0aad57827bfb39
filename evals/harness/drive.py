"""Drives a run: submits its jobs, reads their ends, scores, and finds out when it is complete.

Each step reads and writes rows, and may be repeated: jobs have keys, so none is submitted twice.
Two processes may drive one run; they do the same work.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from aifeature import registry
from aifeature.reasons import FailureCode
from aifeature.services.jobs import evaluations
from aifeature.spec import Feature
from aifeature.suites import Case
from evals.harness import costs, plan
from evals.models import Run, Sample
from evals.scoring import ScorerError, judging, score

if TYPE_CHECKING:
    from django.contrib.auth.models import User

WINDOW: Final = 64
"""Most open jobs of a run. More would wait in the queue, and their deadlines would run on."""

DEADLINE_S: Final = 3600.0
"""Seconds in which a job ends, with its time in the queue. Each call has the feature's limit."""

OF_THE_FEATURE: Final = frozenset({FailureCode.OUTPUT_INVALID, FailureCode.ANSWER_GARBLED})
"""Failures of the evaluated feature itself: the case has failed. All others leave it unscored."""

OF_THE_BUDGET: Final = frozenset({FailureCode.BUDGET_SPENT})


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    total: int
    scored: int
    unscored: int
    spent_micro: int

    @property
    def is_complete(self) -> bool:
        return self.scored + self.unscored == self.total


class Driver:
    """Drives one run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.feature: Feature = registry.get(run.feature)
        self._cases: Mapping[str, Case] = {case.id: case for case in plan.cases_of(run)}
        self._about = plan.about(run)
        self._owner: User = evaluations.account()

    def step(self) -> Progress:
        """Do what can be done now, and return how far the run is."""
        self._read_ends()
        self._score_plain()
        progress = self.progress()
        if self.run.state == Run.State.RUNNING and not progress.is_complete:
            self._submit(progress)
        return progress

    def progress(self) -> Progress:
        states = list(self.run.samples.values_list("state", "job", "judge_job"))
        jobs = [job for _, *pair in states for job in pair if job]
        return Progress(
            total=len(states),
            scored=sum(state == Sample.State.SCORED for state, *_ in states),
            unscored=sum(state == Sample.State.UNSCORED for state, *_ in states),
            spent_micro=evaluations.spent_micro(jobs),
        )

    def _submit(self, progress: Progress) -> None:
        """Submit the next samples, as many as the window and the run's cap have room for."""
        under_way = self.run.samples.filter(state=Sample.State.RUNNING).count()
        done = progress.scored + progress.unscored
        each = progress.spent_micro / done if done else 0.0
        pending = self.run.samples.filter(state=Sample.State.PENDING).order_by("pk")
        for sample in pending[: max(0, WINDOW - under_way)]:
            if progress.spent_micro + each * (under_way + 1) > self.run.cap_micro:
                self._stop_if_idle(under_way)
                return
            sample.job = evaluations.submit(
                owner=self._owner,
                slug=self.feature.slug,
                data=self._cases[sample.case].input,
                key=f"eval:{sample.pk}",
                nonce=_nonce(sample),
                prompt_version=self.run.arms[_arm_of(sample)]["version"],
                deadline_s=DEADLINE_S,
            )
            sample.state = Sample.State.RUNNING
            sample.save(update_fields=["job", "state"])
            under_way += 1

    def _stop_if_idle(self, under_way: int) -> None:
        if under_way == 0:
            self._stop(
                f"It may spend {costs.dollars(self.run.cap_micro)}, and the next call has no room."
                " Resume it with a higher --max-usd."
            )

    def _stop(self, note: str) -> None:
        self.run.state, self.run.note = Run.State.STOPPED, note
        self.run.save(update_fields=["state", "note"])

    def _read_ends(self) -> None:
        """Read the ends of jobs: outputs are scored or sent to the judge, judgements are stored."""
        running = list(self.run.samples.filter(state=Sample.State.RUNNING))
        wanted = [sample.judge_job or sample.job for sample in running]
        ends = {end.job: end for end in evaluations.ended(job for job in wanted if job)}
        for sample in running:
            end = ends.get(sample.judge_job or sample.job or UUID(int=0))
            if end is None:
                continue
            if sample.judge_job:
                self._judged(sample, end)
            else:
                self._answered(sample, end)

    def _answered(self, sample: Sample, end: evaluations.Ended) -> None:
        expected_hash = self.run.arms[_arm_of(sample)]["hash"]
        sample.model, sample.latency_ms = end.model, end.latency_ms
        sample.cost_micro = end.cost_micro
        sample.attempts = [str(attempt) for attempt in end.attempts]
        if end.attempts and end.prompt_hash != expected_hash:
            self._unscored(
                sample, "The worker's prompt is not the one of this run: it runs other code."
            )
        elif end.has_answer:
            sample.output = dict(end.result or {})
            self._score(sample)
        elif end.error_code in OF_THE_BUDGET:
            # It stays to be done when there is room again.
            sample.state, sample.job = Sample.State.PENDING, None
            sample.save()
            self._stop("The budget of evaluations for the day is used up. Resume it tomorrow.")
        elif end.error_code in OF_THE_FEATURE:
            sample.problem = f"The feature gave no answer: {end.error_code}."
            self._scored(sample, passed=False, score=0.0)
        else:
            self._unscored(sample, f"Its job ended as {end.status}: {end.error_code or 'no code'}.")

    def _score_plain(self) -> None:
        """Score the plain answers, which need no call."""
        for sample in self.run.samples.filter(arm=plan.PLAIN, state=Sample.State.PENDING):
            value = self.feature.input_model.model_validate(self._cases[sample.case].input)
            try:
                assert self.feature.plain is not None  # noqa: S101 (the plan checked it)
                sample.output = self.feature.plain(value).model_dump(mode="json")
            except Exception as error:  # noqa: BLE001 (the code of a feature may raise anything)
                self._unscored(sample, f"plain raised {type(error).__name__}.")
            else:
                sample.latency_ms = 0
                self._score(sample)

    def _score(self, sample: Sample) -> None:
        """Score an output, or send it to the judge."""
        case, output = self._cases[sample.case], sample.output or {}
        try:
            parts = score(self.feature, case, output)
        except ScorerError as error:
            self._unscored(sample, f"{error}.")
            return
        sample.parts = [part.as_json() for part in parts]
        if not self._about.criteria:
            self._combine(sample)
            return
        sample.judge_job = evaluations.submit(
            owner=self._owner,
            slug=plan.JUDGE,
            data=judging.exhibit(
                self.feature, case, output, self._about.criteria, nonce=_nonce(sample)
            ),
            key=f"judge:{sample.pk}",
            nonce=_nonce(sample),
            prompt_version=(self.run.judge or {}).get("version", ""),
            deadline_s=DEADLINE_S,
        )
        sample.state = Sample.State.RUNNING
        sample.save()

    def _judged(self, sample: Sample, end: evaluations.Ended) -> None:
        sample.cost_micro += end.cost_micro
        sample.attempts = [*sample.attempts, *(str(attempt) for attempt in end.attempts)]
        if end.result is None:
            why = end.error_code or "no code"
            self._unscored(sample, f"The judge gave no valid judgement: {why}.")
            return
        sample.judgement = end.result["scores"]
        self._combine(sample)

    def _scored(self, sample: Sample, *, passed: bool, score: float) -> None:
        sample.state, sample.passed, sample.score = Sample.State.SCORED, passed, score
        sample.save()

    def _unscored(self, sample: Sample, problem: str) -> None:
        sample.state, sample.problem = Sample.State.UNSCORED, problem
        sample.save()

    def score_again(self, sample: Sample) -> None:
        """Score a stored output with today's scorers. A judgement that exists stays."""
        case = self._cases[sample.case]
        parts = score(self.feature, case, sample.output or {})
        sample.parts = [part.as_json() for part in parts]
        self._combine(sample)

    def _combine(self, sample: Sample) -> None:
        """Combine the rules and the judgement of a sample to its score."""
        rules_hold = all(part["passed"] for part in sample.parts)
        if not self._about.criteria:
            self._scored(sample, passed=rules_hold, score=float(rules_hold))
        elif sample.judgement is not None:
            least = self.feature.suite.least_score if self.feature.suite else 0.0
            found = judging.read(sample.judgement, least=least)
            # The judge's scale counts only for an output that keeps the rules.
            passed = rules_hold and found.passed
            self._scored(sample, passed=passed, score=found.score if rules_hold else 0.0)

    def add_fresh(self, cases: Iterable[str]) -> int:
        """Add fresh repeats of the candidate for these cases. Return their number."""
        new = [
            Sample(run=self.run, arm=plan.FRESH, case=case, repeat=repeat)
            for case in cases
            for repeat in range(1, plan.MUST_REPEATS + 1)
        ]
        return len(Sample.objects.bulk_create(new, ignore_conflicts=True))


def rescore(run: Run) -> None:
    """Score the stored outputs again with today's scorers, without a call. Judgements stay."""
    driver = Driver(run)
    for sample in run.samples.filter(output__isnull=False):
        driver.score_again(sample)


def _arm_of(sample: Sample) -> str:
    """Return the arm whose prompt a sample uses. Fresh repeats are the candidate's."""
    return plan.CANDIDATE if sample.arm == plan.FRESH else sample.arm


def _nonce(sample: Sample) -> str:
    """Return what makes the calls of a sample differ from all others: a function of its row."""
    return random.Random(f"{sample.run_id}:{sample.pk}").randbytes(8).hex()  # noqa: S311 (no secret)
