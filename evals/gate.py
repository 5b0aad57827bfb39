"""The command `python -m evals gate`: the features of a change, against what its base has.

The base has recorded evidence. Its newest passing row of the version that its code names is what it
has. A feature is unchanged if that row has the same prompt, suite, scorers and judge: an older
version is a change, too. The provider does not matter: with a real key the same comparison decides.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from aifeature import prompts
from aifeature.services.promotion import Subject, subjects
from aifeature.spec import Feature
from evals.base import Base, Recorded
from evals.harness import conclude, pools, proof
from evals.harness.pools import Pool
from evals.models import Run
from evals.report import case_results, junit, pull_request, words
from evals.report.case_results import Result
from evals.statistics.verdict import Decision

FEATURES: Final = "aifeature/features"
REPOSITORY: Final = Path(prompts.__file__).resolve().parents[1]

PROMPT: Final = "prompt"
KNOWLEDGE: Final = "knowledge"
DECLARED: Final = "schema or route"
"""The recorded hash does not show which of the two."""

EVERYTHING: Final = "everything"
_VERSION: Final = re.compile(r"""^\s*prompt_version=["'](\w+)["'],?$""", re.MULTILINE)
_ALONE: Final = "Its floor alone decides, since"

NOTHING: Final = "No feature has changed against the base, so nothing is evaluated."
UNFINISHED: Final = 3

JOB_SUMMARY: Final = "GITHUB_STEP_SUMMARY"
"""Environment variable of GitHub Actions: a file in Markdown that the page of a job shows."""


@dataclass(frozen=True, slots=True)
class Check:
    """A feature, what changed in it, and how its prompt is evaluated."""

    feature: Feature
    subject: Subject
    """The code's prompt under the conditions of today."""
    changed: tuple[str, ...]
    """Names of the parts that changed. Empty: the base has the same."""
    how: str
    """How the prompt is compared, as a sentence."""
    baseline: str | None = None
    """The version that is called too; None: the candidate alone is."""
    row: Recorded | None = None
    """The newest passing evidence of the version that the base names."""
    recorded: Pool = field(default_factory=Pool)
    """The recorded outcomes that the candidate is compared with."""

    @property
    def compared_with(self) -> str:
        """The version that the candidate is compared with; empty: its floor alone decides."""
        if self.baseline:
            return self.baseline
        return self.row.version if self.row and not self.recorded.is_empty else ""

    @property
    def name(self) -> str:
        return f"{self.feature.slug} {self.subject.version}"

    @property
    def sentence(self) -> str:
        """The parts that changed, and how the prompt is compared, for a terminal."""
        if not self.changed:
            return f"{self.name}: the base has the same. {self.how}"
        return f"{self.name}: changed: {', '.join(self.changed)}. {self.how}"


def check(feature: Feature, base: Base) -> Check:
    """Return what changed in a feature, and how its prompt is evaluated.

    Raises:
        PromptError: The code's version cannot be read.
        SuiteError: The suite cannot be read.
    """
    subject = subjects.of(feature, feature.prompt_version)
    rows = base.of(feature.slug)
    if not rows:
        how = f"{_ALONE} the base has no passing evidence of it."
        return Check(feature, subject, (EVERYTHING,), how)
    row = _of_base(feature, rows, base)
    changed = (*_prompt_parts(feature, subject, row, base), *_conditions(subject, row))
    if row.prompt_hash == subject.prompt_hash:
        how = f"{_ALONE} {row.version} of the base is this prompt."
        return Check(feature, subject, changed, how, row=row)
    if _hash(feature, row.version) == row.prompt_hash:
        how = f"It is compared with {row.version}, which the base has."
        return Check(feature, subject, changed, how, baseline=row.version, row=row)
    gone = f"this code has no longer the prompt {row.version} of the base"
    if why := _incomparable(subject, row, base):
        return Check(feature, subject, changed, f"{_ALONE} {gone}, and {why}.", row=row)
    how = f"It is compared with the recorded outcomes of {row.version}, since {gone}."
    return Check(feature, subject, changed, how, row=row, recorded=base.pool(row))


def _of_base(feature: Feature, rows: Sequence[Recorded], base: Base) -> Recorded:
    """Return the newest row of the version that the base's code names, or of any version.

    The file has rows of all versions, also of drafts that are newer than the code's version.
    """
    named = _VERSION.findall(base.text(f"{FEATURES}/{feature.slug}/feature.py") or "")
    return next((row for row in rows if [row.version] == named), rows[0])


def _conditions(subject: Subject, row: Recorded) -> Iterator[str]:
    now, before = subject.conditions, row.conditions
    if now.suite != before.suite:
        yield "suite"
    if now.scorers != before.scorers:
        yield "scorers"
    if now.judge != before.judge:
        yield "judge"


def _prompt_parts(feature: Feature, subject: Subject, row: Recorded, base: Base) -> Iterator[str]:
    """Yield which parts of a prompt's hash changed, by the files of the base."""
    if subject.prompt_hash == row.prompt_hash:
        return
    is_edited = _is_edited(feature, row.version, base)
    if is_edited or subject.version != row.version:
        yield PROMPT
    if _hash(feature, row.version) == row.prompt_hash:
        return
    has_other_knowledge = any(_is_edited(feature, name, base) for name in feature.knowledge)
    if has_other_knowledge:
        yield KNOWLEDGE
    if not is_edited and not has_other_knowledge:
        yield DECLARED


def _is_edited(feature: Feature, name: str, base: Base) -> bool:
    path = f"{FEATURES}/{feature.slug}/{name}.md"
    try:
        now = (REPOSITORY / path).read_text(encoding="utf-8")
    except OSError:
        return True
    return base.text(path) != now


def _hash(feature: Feature, version: str) -> str:
    """Return the hash of a version in this code; empty if there is none."""
    try:
        return prompts.get(feature.slug, version).hash
    except prompts.PromptError:
        return ""


def _incomparable(subject: Subject, row: Recorded, base: Base) -> str:
    """Return why recorded outcomes do not compare with new ones; empty if they do."""
    if changed := list(_conditions(subject, row)):
        return f"the {' and the '.join(changed)} changed too"
    provider = row.conditions.provider
    if provider != subject.conditions.provider:
        return f"its outcomes are of the provider {provider}"
    if provider == "sandbox" and not base.has_this_sandbox:
        return "its outcomes are of another sandbox"
    return "no outcomes of it are recorded" if base.pool(row).is_empty else ""


def results(checks: Sequence[Check], runs: Sequence[Run]) -> list[Result]:
    """Return the result of each feature. Those without a run were not evaluated."""
    by_feature = {run.feature: run for run in runs}
    return [_result(each, by_feature.get(each.feature.slug)) for each in checks]


def _result(of: Check, run: Run | None) -> Result:
    found = Result(of.feature.slug, of.subject.version, of.changed, of.how)
    if run is None:
        return found
    samples = list(run.samples.all())
    verdict = _verdict(of, run) if run.state == Run.State.ENDED else None
    spent_micro, calls = case_results.spent(run, samples)
    return replace(
        found,
        run=run,
        verdict=verdict,
        problem="" if verdict else run.note or "The run was interrupted.",
        baseline=of.compared_with,
        spent_micro=spent_micro,
        calls=calls,
        cases=case_results.of_run(run, samples, verdict, of.recorded),
    )


def _verdict(of: Check, run: Run) -> dict[str, Any]:
    """Return the verdict on a run, or that on its pool against the recorded outcomes."""
    if of.recorded.is_empty or of.row is None:
        return dict(run.verdict or {})
    subject = pools.subject_of(run)
    before = proof.Live(of.row.version, of.row.prompt_hash, of.recorded, is_in_code=False)
    return proof.judge(run, subject, pools.of(subject), before)


def lines(checks: Sequence[Check], wanted: Collection[Check], base: Base) -> Iterator[str]:
    """Yield what changed in each feature, and what is done with it."""
    yield base.problem or f"The base is the commit {base.name}."
    for each in checks:
        yield each.sentence if each in wanted else f"{each.name}: {words.UNCHANGED}"
    if not wanted:
        yield NOTHING


def publish(
    found: Sequence[Result], base: Base, *, xml: Path | None, summary: Path | None
) -> Iterator[str]:
    """Write the results to the files. Yield the verdicts that no run has, and where the files are.

    Without a file for the summary, it is appended to the one that GitHub Actions shows, if any.
    """
    for each in found:
        if each.run and each.verdict and each.run.verdict != each.verdict:
            yield words.headline(each.run, each.verdict, against=each.baseline)
            yield from (f"  {reason}" for reason in each.verdict["reasons"])
    if xml:
        junit.write(xml, found)
        yield f"JUnit XML: {xml.resolve()}"
    file = summary or (Path(os.environ[JOB_SUMMARY]) if os.environ.get(JOB_SUMMARY) else None)
    if file:
        pull_request.append(file, found, remarks=[base.problem] if base.problem else [])
        yield f"Summary: {file.resolve()}"


def exit_code(found: Sequence[Result]) -> int:
    """Return the exit code: a regression counts more than a missing verdict."""
    codes = [
        conclude.EXIT[Decision(each.verdict["decision"])] if each.verdict else UNFINISHED
        for each in found
        if each.run
    ]
    return next((code for code in (1, *sorted(codes, reverse=True)) if code in codes), 0)
