"""`python -m evals gate` evaluates the features that differ from those of the base."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aifeature import prompts, registry
from aifeature.services.promotion import subjects
from evals import base, cli, gate
from evals.base import Base, Recorded
from evals.commands import codes
from evals.harness.pools import Part, Repeats
from evals.models import Run
from evals.report.case_results import Result
from evals.statistics.data import Outcome
from evals.usage import UsageError

PART = Part(
    run="1a2b",
    at=datetime(2026, 11, 2, tzinfo=UTC),
    cases={"timer-1": Repeats("5" * 16, "timer-1", False, (), (Outcome(True, 1.0),))},
    total=1,
    unscored=0,
    answered_by=("claude",),
    first_answers={"claude": 3},
)
WITH_SUITE = [slug for slug, feature in registry.all_features().items() if feature.suite]


def row(slug: str = "triage", version: str = "", **more: Any) -> Recorded:
    """Evidence of a version of this code, or with other values."""
    subject = subjects.of(registry.get(slug), version or registry.get(slug).prompt_version)
    found = Recorded(
        feature=slug,
        version=subject.version,
        prompt_hash=subject.prompt_hash,
        conditions=replace(subject.conditions, provider="sandbox"),
        measured_at=PART.at,
        runs=(PART.run,),
        part=PART,
    )
    return replace(found, **more)


def conditions(slug: str = "triage", **more: Any) -> dict[str, Any]:
    return {"conditions": replace(row(slug).conditions, **more)}


def same_text(path: str) -> str:
    return (gate.REPOSITORY / path).read_text(encoding="utf-8")


def a_base(*rows: Recorded, **more: Any) -> Base:
    return replace(Base("abc", rows, text=same_text), **more)


def other_hash(**changed: Any) -> str:
    """The hash of the prompt of `triage` if its declaration had other values."""
    before = registry.get("triage").model_copy(update=changed)
    return prompts._parse(before, "v2", same_text("aifeature/features/triage/v2.md")).hash


def without(name: str) -> Callable[[str], str | None]:
    """The files of a base in which one has another text."""
    return lambda path: f"{same_text(path)}!" if path.endswith(name) else same_text(path)


FEWER_ROUTES = registry.get("summarize").routes[:1]
OTHER_OUTPUT = registry.get("summarize").output_model
FLOOR = "Its floor alone decides"
GONE = "this code has no longer the prompt v2"


@pytest.mark.parametrize(
    ("slug", "before", "text", "changed", "how"),
    [
        ("summarize", lambda: row("summarize", "v2"), None, ["prompt"], "with v2, which the base"),
        ("triage", lambda: row(prompt_hash="0" * 64), "v2.md", ["prompt"], GONE),
        ("triage", lambda: row(version="v2", prompt_hash="0"), "v2.md", ["prompt"], "recorded out"),
        (
            "triage",
            lambda: row(prompt_hash=other_hash(routes=FEWER_ROUTES)),
            None,
            ["schema or route"],
            "with the recorded outcomes of v2",
        ),
        (
            "triage",
            lambda: row(prompt_hash=other_hash(output_model=OTHER_OUTPUT)),
            None,
            ["schema or route"],
            GONE,
        ),
        ("answer", lambda: row("answer", prompt_hash="0"), "handbook.md", ["knowledge"], GONE),
        ("triage", lambda: row(**conditions(suite="0")), None, ["suite"], FLOOR),
        ("triage", lambda: row(**conditions(scorers="0")), None, ["scorers"], FLOOR),
        (
            "summarize",
            lambda: row("summarize", **conditions("summarize", judge={"hash": "0"})),
            None,
            ["judge"],
            FLOOR,
        ),
        (
            "triage",
            lambda: row(prompt_hash="0", **conditions(suite="0", scorers="0")),
            None,
            ["schema or route", "suite", "scorers"],
            "and the suite and the scorers changed too.",
        ),
        ("triage", lambda: row("answer"), None, ["everything"], "no passing evidence"),
    ],
)
def test_each_part_that_changed_is_named(
    slug: str, before: Callable[[], Recorded], text: str | None, changed: list[str], how: str
) -> None:
    found = gate.check(registry.get(slug), a_base(before(), text=without(text or "none")))
    assert list(found.changed) == changed
    assert how in found.sentence
    assert f"changed: {', '.join(changed)}. " in found.sentence


LATER = datetime(2026, 11, 3, tzinfo=UTC)


def test_a_feature_is_unchanged_with_any_provider() -> None:
    older = row(prompt_hash="0")
    newer = row(measured_at=LATER, **conditions(provider="anthropic"))
    found = gate.check(registry.get("triage"), a_base(newer, older))
    assert found.changed == ()
    assert (found.baseline, found.recorded.is_empty) == (None, True), "never against itself"


@pytest.mark.parametrize("text", [same_text, lambda _: None])
def test_an_older_version_is_compared_with_the_newest_one_of_the_base(
    text: Callable[[str], str | None],
) -> None:
    """The base has passing evidence of the older version, too."""
    rows = row("summarize", "v1"), row("summarize", "v3", measured_at=LATER)
    back = registry.get("summarize").model_copy(update={"prompt_version": "v1"})
    found = gate.check(back, a_base(*rows, text=text))
    assert found.changed == ("prompt",)
    assert found.compared_with == "v3"


def test_a_draft_with_evidence_is_not_what_the_base_serves() -> None:
    draft = row("summarize", "v2", measured_at=LATER)
    known = a_base(row("summarize", "v4"), draft)
    assert gate.check(registry.get("summarize"), known).changed == ()


def test_a_version_that_this_code_has_is_called_again() -> None:
    found = gate.check(registry.get("summarize"), a_base(row("summarize", "v2")))
    assert (found.baseline, found.recorded.is_empty) == ("v2", True)


@pytest.mark.parametrize(
    ("before", "more", "why"),
    [
        (conditions(provider="anthropic"), {}, "of the provider anthropic"),
        ({}, {"has_this_sandbox": False}, "of another sandbox"),
        ({"runs": ()}, {}, "no outcomes of it are recorded"),
        (conditions(suite="0"), {}, "and the suite changed too"),
    ],
)
def test_outcomes_of_other_conditions_are_no_baseline(
    before: dict[str, Any], more: dict[str, Any], why: str
) -> None:
    found = gate.check(registry.get("triage"), a_base(row(prompt_hash="0", **before), **more))
    assert (found.baseline, found.recorded.is_empty, found.compared_with) == (None, True, "")
    assert FLOOR in found.how
    assert why in found.how


def test_outcomes_of_all_runs_of_the_evidence_are_the_baseline() -> None:
    old, new = row(prompt_hash="0"), row(prompt_hash="0", runs=("1a2b", "3c4d"))
    new = replace(
        new, part=replace(PART, run="3c4d"), measured_at=datetime(2026, 11, 3, tzinfo=UTC)
    )
    other = replace(old, part=replace(PART, run="5e6f"))
    found = gate.check(registry.get("triage"), a_base(other, old, new))
    assert found.recorded.runs == ["1a2b", "3c4d"]


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_base_is_a_commit_of_git(tmp_path: Path) -> None:
    assert "git finds no commit" in base.read(None, checkout=tmp_path).problem
    git(tmp_path, "init", "-q", "-b", "main")
    file = tmp_path / base.FILE
    file.parent.mkdir(parents=True)
    values = {
        "feature": "triage",
        "version": "v1",
        "prompt_hash": "0",
        "conditions": {"provider": "sandbox", "suite": "1", "scorers": "2", "judge": None},
        "measured_at": "2026-11-02T03:00:00Z",
        "runs": ["1a2b"],
        "outcomes": PART.as_json(),
        "passed": True,
    }
    contents = {
        "empty": None,
        "broken": "{",
        "odd": '{"evidence": [{"passed": true}]}',
        "whole": json.dumps({"evidence": [values, {**values, "passed": False}]}),
    }
    for name, text in contents.items():
        if text is not None:
            file.write_text(text)
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-q", "--allow-empty", "-m", name)
        git(tmp_path, "tag", name)
    git(tmp_path, "checkout", "-q", "-b", "topic")
    file.write_text("{}")
    found = base.read(None, checkout=tmp_path)
    assert (found.problem, found.name) == ("", git(tmp_path, "rev-parse", "main")[:12])
    (recorded,) = found.rows
    assert (recorded.measured_at, recorded.part) == (datetime(2026, 11, 2, 3, tzinfo=UTC), PART)
    assert found.text(base.FILE) == contents["whole"], "of the commit, not of the checkout"
    assert found.has_this_sandbox
    for name, words in {"empty": "has no file", "broken": "cannot be", "odd": "cannot be"}.items():
        found = base.read(name, checkout=tmp_path)
        assert words in found.problem
        assert found.problem.endswith("Every feature counts as changed.")
        assert found.of("triage") == []


def test_another_sandbox_is_noticed(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    for path in (base.FILE, f"{base.SANDBOX}/app.py"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text('{"evidence": []}')
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "one")
    assert base.read("main", checkout=tmp_path).has_this_sandbox
    (tmp_path / base.SANDBOX / "app.py").write_text("other")
    assert not base.read("main", checkout=tmp_path).has_this_sandbox


@pytest.mark.parametrize("ref", ["no-such-branch", "--help", "HEAD:evals"])
def test_a_base_that_is_no_commit_is_wrong_use(
    ref: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="There is no commit"):
        base.read(ref)
    assert cli.main(["gate", f"--base={ref}"]) == codes.WRONG
    shown = capsys.readouterr().err
    assert "check out the whole history" in shown
    assert "fatal: " in shown, "the reason of git"


def test_nothing_runs_if_nothing_changed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    known = a_base(*map(row, WITH_SUITE))
    monkeypatch.setattr(base, "read", lambda _: known)
    monkeypatch.setenv(gate.JOB_SUMMARY, str(tmp_path / "job.md"))
    assert cli.main(["gate", "--changed", f"--junit={tmp_path}/new/j.xml"]) == 0
    shown = capsys.readouterr().out
    assert "triage v2: unchanged: not run" in shown
    assert gate.NOTHING in shown
    assert (tmp_path / "new" / "j.xml").read_text().count("<skipped") == len(WITH_SUITE)
    assert "no feature has changed" in (tmp_path / "job.md").read_text()
    assert cli.main(["gate", "--changed", f"--summary={tmp_path}/s.md"]) == 0
    assert (tmp_path / "job.md").read_text().count("## Evaluations") == 1, "to the named file only"


@pytest.mark.parametrize(
    ("decisions", "code"),
    [
        (["pass"], 0),
        ([], 0),
        (["pass", "regression", "not comparable"], 1),
        (["pass", "not comparable"], 3),
        (["pass", None], 3),
    ],
)
def test_the_most_serious_result_is_the_exit_code(decisions: list[str | None], code: int) -> None:
    unchanged = Result("answer", "v1", (), "")
    found = [
        replace(unchanged, run=Run(), verdict={"decision": each} if each else None)
        for each in decisions
    ]
    assert gate.exit_code([unchanged, *found]) == code
