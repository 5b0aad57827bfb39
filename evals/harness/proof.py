"""Evidence of a run: the verdict on its prompt's pool, against what is live."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from django.db import transaction

from aifeature import registry, suites
from aifeature.services import controls
from aifeature.services.controls.live import LivePrompt
from aifeature.services.promotion import (
    Activation,
    Evidence,
    Subject,
    activations,
    evidence,
    subjects,
)
from evals.harness import conclude, pools
from evals.harness.pools import Pool
from evals.models import Run
from evals.statistics import pooled
from evals.statistics.rules import DEFAULT

NOT_IN_CODE: Final = (
    "It is not compared with {version}, which is live: this release has another prompt of that"
    " name, and no outcomes of the live one are known under the same conditions."
)


NO_COMPARISON: Final = (
    "An earlier run of this prompt did not pass, and its outcomes do not compare with those of its"
    " activation. Activate a new version, or roll back."
)


@dataclass(frozen=True, slots=True)
class Live:
    """The live prompt, for a comparison."""

    version: str
    hash: str
    pool: Pool
    is_in_code: bool
    activation: Pool = Pool()  # noqa: RUF009 (frozen)
    """The pool of its evidence, if that was made under the same conditions."""

    @property
    def problem(self) -> str:
        """Why a comparison is missing and can be made; empty if there is one, or none can be."""
        if not self.pool.is_empty or not self.is_in_code:
            return ""
        return (
            f"It is not compared with {self.version}, which is live: run it with"
            f" --against {self.version}."
        )


def conclude_run(run: Run, *, origin: Evidence.Origin = Evidence.Origin.COMMAND) -> Evidence | None:
    """Store the verdict on a complete run, and its evidence: both or neither.

    Return None if there is no evidence, or if another process has opened samples again: nothing is
    stored then.
    """
    with transaction.atomic():
        return record(run, origin=origin) if conclude.conclude(run) else None


def record(
    run: Run,
    *,
    origin: Evidence.Origin = Evidence.Origin.COMMAND,
    verdict: Mapping[str, Any] | None = None,
) -> Evidence | None:
    """Store the evidence of a run that has ended, and open what a deploy closed if it proves it.

    A run of other cases than those of the feature's suite has none: it was edited since, or another
    file was given.

    Args:
        run: It has a verdict.
        origin: The command or task that made it.
        verdict: By default that on the pool, against the live prompt.
    """
    if not _is_of_the_suite(run):
        return None
    subject = pools.subject_of(run)
    part = pools.part_of(run, subject.prompt_hash)
    pool = _with(pools.of(subject), part)
    live = _live(subject)
    row = evidence.record(
        subject,
        live_hash=live.hash if live else "",
        verdict=verdict or judge(run, subject, pool, live),
        outcomes=part.as_json(),
        runs=pool.runs,
        answered_by=pool.answered_by,
        measured_at=max(each.at for each in pool.parts),
        origin=origin,
    )
    activations.settle(registry.get(run.feature))
    return row


def _is_of_the_suite(run: Run) -> bool:
    feature = registry.get(run.feature)
    try:
        return feature.suite is not None and suites.load(feature).hash == run.suite_hash
    except suites.SuiteError:
        return False


def judge(run: Run, subject: Subject, pool: Pool, live: Live | None) -> dict[str, Any]:
    """Return the verdict on a pool, as JSON values, against the live prompt if there is another."""
    is_live = live is not None and live.hash == subject.prompt_hash
    failed_before = _failed_before(run, subject, pool)
    if live and not is_live:
        live = _with_models_of(run, pool, live)
    other = None if is_live else live
    against = other.pool if other else Pool()
    missing = other.problem if other else ""
    if live and is_live:
        pool, against = _since_its_activation(pool, live)
        if failed_before and against.is_empty:
            missing = NO_COMPARISON
    cases = pools.compared(pool, against)
    if is_live and not against.is_empty:  # the suite may have changed since
        cases = [each for each in cases if each.baseline]
    floor = conclude.floor_of(run)
    found = pooled.judge(
        cases,
        judged=bool(run.judge),
        floor=floor.least,
        unscored=pool.unscored + against.unscored,
        total=pool.total + against.total,
        blocked=[*_blocking(run, missing, floor.least)],
        failed_before=failed_before,
    )
    remarks = [floor.problem] if floor.problem else []
    if other and against.is_empty and not missing:
        remarks.append(NOT_IN_CODE.format(version=other.version))
    return {
        **conclude.as_json(found),
        "reasons": [*found.reasons, *remarks],
        "failure": pooled.is_failure(found),
        "compared_with": other.version if other and not against.is_empty else "",
    }


def _since_its_activation(pool: Pool, live: Live) -> tuple[Pool, Pool]:
    """Return the outcomes of the live prompt since its evidence, and those of its evidence.

    Otherwise its runs could repair a regression by passing the floor. The second one is empty if
    too few of its cases are still in the suite.
    """
    known = {part.run for part in live.activation.parts}
    later = Pool(tuple(part for part in pool.parts if part.run not in known))
    if not later.parts:
        return pool, Pool()
    shared = sum(bool(each.baseline) for each in pools.compared(later, live.activation))
    return later, live.activation if shared >= DEFAULT.least_cases else Pool()


def _with_models_of(run: Run, pool: Pool, live: Live) -> Live:
    """Return the live prompt with those outcomes that compare with a run by their models.

    A prompt that this code lacks has other routes, which are part of what is compared.
    """
    own = next((part.models for part in pool.parts if part.run == str(run.pk)), Counter())
    if not live.is_in_code:
        return live
    same = [
        part
        for part in live.pool.parts
        if not [*conclude.differing_models("answered", own, part.models)]
    ]
    return replace(live, pool=Pool(tuple(same)))


def _blocking(run: Run, missing: str, floor: float) -> Iterator[str]:
    if missing:
        yield missing
    if not floor:
        yield conclude.no_floor(run)


def _with(pool: Pool, part: pools.Part) -> Pool:
    """Return a pool with this part, instead of an earlier one of the same run."""
    others = [each for each in pool.parts if each.run != part.run]
    return Pool(tuple(sorted([*others, part], key=lambda each: (each.at, each.run))))


def _live(subject: Subject) -> Live | None:
    row: Activation | None = activations.proven_row(subject.feature)
    if row is None or row.provider != subject.conditions.provider:
        return None
    prompt = LivePrompt(row.version, row.prompt_hash)
    own = replace(subject, version=row.version, prompt_hash=row.prompt_hash)
    return Live(
        version=row.version,
        hash=row.prompt_hash,
        pool=pools.of(own),
        activation=_of_activation(row, own),
        is_in_code=controls.live.has(registry.get(subject.feature), prompt),
    )


def _of_activation(row: Activation, own: Subject) -> Pool:
    """Return the pool of an activation's evidence, if the same scorers and judge made it."""
    if row.evidence is None:
        return Pool()
    now = {**subjects.as_json(own.conditions), "suite": row.evidence.conditions.get("suite")}
    return pools.of_evidence(row.evidence) if row.evidence.conditions == now else Pool()


def _failed_before(run: Run, subject: Subject, pool: Pool) -> bool:
    """Return whether the author of a prompt may have seen that it does not pass."""
    if _has_failure(subject):
        return True
    others = [each for each in pool.runs if each != str(run.pk)]
    return Run.objects.filter(pk__in=others).exclude(state=Run.State.ENDED).exists()


def _has_failure(subject: Subject) -> bool:
    return any(row.verdict.get("failure") for row in evidence.pooled(subject.fingerprint))


def has_failed(run: Run) -> bool:
    """Return whether fresh evidence of a run's prompt is a failure."""
    return _has_failure(pools.subject_of(run))


def why(row: Evidence) -> str:
    """Return the reasons of evidence that did not pass."""
    return " ".join(row.verdict["reasons"])


def of_run(run: Run) -> Iterator[str]:
    """Yield what a person reads about the newest evidence of a run's prompt."""
    if not _is_of_the_suite(run):
        yield f"No evidence: its cases are not those of the suite of {run.feature}."
    elif row := evidence.newest(pools.subject_of(run)):
        yield from lines(row)


def lines(row: Evidence) -> Iterator[str]:
    """Yield what a person reads about evidence."""
    runs = "1 run" if len(row.runs) == 1 else f"{len(row.runs)} runs"
    if not row.passed:
        yield f"No evidence ({runs}): {' '.join(row.verdict['reasons'])}"
        return
    until = f" until {row.fresh_until:%Y-%m-%d}" if row.fresh_until else ""
    if registry.get(row.feature).internal:
        yield f"Evidence ({runs}): {row.feature} {row.version} passed{until}."
        return
    yield f"Evidence ({runs}): {row.feature} {row.version} may be activated{until}:"
    yield f"  manage.py prompts activate {row.feature} {row.version}"
