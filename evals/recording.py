"""Record evidence of the sandbox, and check what was recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import zip_longest
from typing import Any, Final

from aifeature import prompts, registry, suites
from aifeature.services import controls
from aifeature.services.promotion import (
    Activation,
    Evidence,
    RefusedError,
    activations,
    evidence,
)
from aifeature.spec import Feature
from evals import recorded
from evals.harness import plan, pools
from evals.recorded import Recorded, RecordedError
from evals.statistics import pooled

CHECK: Final = "record"
"""`Activation.check_name` of what is live while evidence is recorded."""

Chosen = tuple[Feature, str, str | None]
"""A version to evaluate, and the one to compare it with."""


def record(run: Callable[[Sequence[Chosen]], None]) -> Recorded:
    """Evaluate each version of each feature with a suite, oldest first, and return all.

    A version is compared with the newest one before it that passed. Of an internal feature nothing
    is live, so its floor alone decides. `run` evaluates versions side by side and stores their
    evidence.

    Raises RecordedError if this is no new database of the sandbox, or if a version of the code
    does not pass.
    """
    if controls.live.provider() != recorded.PROVIDER:
        raise RecordedError("Only evidence of the sandbox is recorded: run `make evidence`.")
    if Evidence.objects.exists() or Activation.objects.exists():
        raise RecordedError("This database has evidence already: run `make evidence`.")
    features = [each for each in registry.all_features().values() if each.suite is not None]
    versions = [prompts.versions(feature.slug) for feature in features]
    for round_ in zip_longest(*versions):  # features run side by side
        chosen = [
            (feature, version, None if feature.internal else controls.live_version(feature))
            for feature, version in zip(features, round_, strict=True)
            if version is not None
        ]
        run(chosen)
        for feature, version, _ in chosen:
            _activate(feature, version)
    return _found()


def _activate(feature: Feature, version: str) -> None:
    """Make a version live if it passed. The code's version of a released feature must pass."""
    refused = _refusal(feature, version)
    if not refused or version != feature.prompt_version or not prompts.released(feature.slug):
        return
    found = evidence.newest(recorded.subject_of(feature, version))
    why = " ".join(found.verdict["reasons"]) if found else refused
    raise RecordedError(f"{feature.slug} {version} does not pass, so nothing was recorded: {why}")


def _refusal(feature: Feature, version: str) -> str:
    """Make a version live, unless its feature is internal. Return why not; empty if it passed."""
    reason = "Later versions are compared with it."
    try:
        if feature.internal:
            return "" if activations.evidence_of(feature, version).passed else "It did not pass."
        activations.activate(feature.slug, version, reason=reason, check_name=CHECK)
    except RefusedError as refused:
        return str(refused)
    return ""


def _found() -> Recorded:
    rows = evidence.dump(Evidence.objects.order_by("feature", "created_at", "id"))
    bare = {"account": "", "fresh_until": None, "origin": Evidence.Origin.RECORDED.value}
    found = Recorded([{**row, **bare} for row in rows], recorded.sandbox_hash())
    if problems := check(found):
        raise RecordedError("\n".join(problems))
    return found


def follow() -> None:
    """Make the code's version of each feature live, if its evidence permits it.

    Then the next version is compared with it.
    """
    for feature in registry.offered().values():
        if controls.live_version(feature) != feature.prompt_version:
            reason = "The evaluated system follows the code."
            with suppress(RefusedError):
                activations.activate(
                    feature.slug, feature.prompt_version, reason=reason, check_name=CHECK
                )


def exported() -> Recorded:
    """Return all evidence for this provider, oldest first.

    Recorded evidence is left out: it counts only in the file with the hash of its sandbox.
    """
    rows = Evidence.objects.filter(provider=controls.live.provider(), fresh_until__isnull=False)
    return Recorded(evidence.dump(rows.order_by("created_at", "id")))


def check(found: Recorded) -> list[str]:
    """Return what is wrong with recorded evidence: with its verdicts, or `recorded.problems`."""
    return recorded.problems(found) or list(_unfounded(found.rows))


def _unfounded(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield that a verdict does not follow from the outcomes of its row."""
    before: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in rows:
        against = before.get((row["feature"], row["live_hash"]))
        before[row["feature"], row["prompt_hash"]] = row
        feature = registry.find(row["feature"])
        if not row["passed"] or feature is None or feature.suite is None:
            continue
        suite = suites.load(feature)
        cases = {case.id: plan.case_hash(case) for case in suite.cases}
        if row["conditions"]["suite"] == suite.hash and _cases(row) != cases:
            yield f"{recorded.name(row)}: its cases are not those of its suite. {recorded.AGAIN}"
        elif (decision := _decision(feature, row, against)) != "pass":
            yield (
                f"{recorded.name(row)}: it passed, and its outcomes with today's floor give"
                f" {decision!r}. {recorded.AGAIN}"
            )


def _cases(row: Mapping[str, Any]) -> dict[str, str]:
    return {case: each["hash"] for case, each in row["outcomes"]["cases"].items()}


def _decision(feature: Feature, row: Mapping[str, Any], against: Mapping[str, Any] | None) -> str:
    floor = (feature.suite.floor(recorded.PROVIDER) if feature.suite else None) or 0.0
    own, other = _pool(row), _pool(against) if against else pools.Pool()
    found = pooled.judge(
        pools.compared(own, other),
        judged=bool(row["conditions"]["judge"]),
        floor=floor,
        unscored=own.unscored + other.unscored,
        total=own.total + other.total,
        blocked=[] if floor else ["There is no floor."],
        failed_before=False,
    )
    return found.decision.value


def _pool(row: Mapping[str, Any]) -> pools.Pool:
    return pools.Pool((pools.from_json(row["outcomes"]),))
