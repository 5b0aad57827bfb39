"""Recorded evidence counts for the shipped prompts and this sandbox. An edited row is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aifeature import prompts, registry, suites
from aifeature.services.promotion import subjects
from evals import cli, recorded, recording
from evals.commands import codes
from evals.harness import plan
from evals.recorded import Recorded

TRIAGE = registry.get("triage")


def row(slug: str, *, prompt_hash: str = "", **conditions: Any) -> dict[str, Any]:
    """Evidence as it is recorded, of a prompt that passed every case."""
    feature = registry.get(slug)
    subject = recorded.subject_of(feature, feature.prompt_version)
    subject = replace(
        subject,
        prompt_hash=prompt_hash or subject.prompt_hash,
        conditions=replace(subject.conditions, **conditions),
    )
    return {
        "id": f"id of {slug}",
        "feature": slug,
        "version": subject.version,
        "provider": "sandbox",
        "prompt_hash": subject.prompt_hash,
        "fingerprint": subject.fingerprint,
        "conditions": subjects.as_json(subject.conditions),
        "live_hash": "",
        "passed": True,
        "verdict": {"decision": "pass", "reasons": []},
        "outcomes": {
            "run": "r",
            "at": "2026-11-02T03:00:00+00:00",
            "total": 3,
            "unscored": 0,
            "answered_by": [],
            "first_answers": {},
            "cases": {
                case.id: {
                    "hash": plan.case_hash(case),
                    "group": case.group or case.id,
                    "must": case.must,
                    "tags": [],
                    "scored": [[True, 1.0, True]] * 3,
                    "fresh": [],
                }
                for case in suites.load(feature).cases
            },
        },
        "account": "",
        "fresh_until": None,
    }


@pytest.fixture(scope="module", autouse=True)
def _each_suite_is_read_once_and_each_prompt_is_released() -> Iterator[None]:
    with_suite = [each for each in registry.all_features().values() if each.suite]
    known = {each.slug: suites.load(each) for each in with_suite}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suites, "load", lambda feature: known[feature.slug])
        patch.setattr(prompts, "released", lambda slug: {registry.get(slug).prompt_version: ""})
        yield


@pytest.fixture(scope="module")
def _made(_each_suite_is_read_once_and_each_prompt_is_released: None) -> dict[str, dict[str, Any]]:
    return {slug: row(slug) for slug, each in registry.all_features().items() if each.suite}


@pytest.fixture
def rows(_made: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return deepcopy(_made)


def problem(rows: dict[str, dict[str, Any]]) -> str:
    """Return the only problem."""
    found = recording.check(Recorded([*rows.values()], recorded.sandbox_hash()))
    assert len(found) == 1, found
    assert "`make evidence`" in found[0]
    return found[0]


def test_evidence_of_today_has_no_problem(rows: dict[str, dict[str, Any]]) -> None:
    assert recording.check(Recorded([*rows.values()], recorded.sandbox_hash())) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"prompt_hash": "0" * 64}, "another prompt than"),
        ({"suite": "x"}, "another suite than"),
        ({"scorers": "x"}, "another scorers than"),
        ({"prompt_hash": "0" * 64, "suite": "x"}, "another prompt and another suite than"),
    ],
)
def test_the_changed_part_is_named_with_the_command(
    rows: dict[str, dict[str, Any]], changed: dict[str, str], words: str
) -> None:
    rows["triage"] = row("triage", **changed)
    found = problem(rows)
    assert found.startswith(f"triage {TRIAGE.prompt_version} has no recorded evidence: {words}")


def test_a_released_feature_needs_evidence_that_passed(rows: dict[str, dict[str, Any]]) -> None:
    failed = {"decision": "regression", "reasons": ["It is below its floor."]}
    rows["triage"] |= {"passed": False, "verdict": failed}
    assert "did not pass: It is below its floor." in problem(rows)
    del rows["triage"]
    assert "triage v2 has no recorded evidence." in problem(rows)


def test_an_internal_feature_with_a_suite_needs_evidence(rows: dict[str, dict[str, Any]]) -> None:
    assert "judge" not in rows, "it has none"
    del rows["moderation"]
    assert "moderation v1 has no recorded evidence." in problem(rows)


def test_another_sandbox_voids_all_of_it(rows: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("a = 1\n")
    before = recorded.sandbox_hash(tmp_path)
    (tmp_path / "app.py").write_text("a = 2\n")
    assert recorded.sandbox_hash(tmp_path) != before
    found = Recorded([*rows.values()], before)
    assert "The code of the sandbox has changed" in found.problem
    assert recording.check(found) == [found.problem]
    (without,) = recording.check(Recorded([*rows.values()]))
    assert "does not have the hash of its sandbox" in without


def _another_prompt(row: dict[str, Any]) -> None:
    row["prompt_hash"] = "0" * 64


def _another_suite(row: dict[str, Any]) -> None:
    row["conditions"]["suite"] = "x"


def _other_verdict(row: dict[str, Any]) -> None:
    row["verdict"]["decision"] = "regression"


def _worse_outcomes(row: dict[str, Any]) -> None:
    for case in row["outcomes"]["cases"].values():
        case["scored"] = [[False, 0.0, True]] * 3


def _fewer_cases(row: dict[str, Any]) -> None:
    row["outcomes"]["cases"].popitem()


def _an_age(row: dict[str, Any]) -> None:
    row["fresh_until"] = "2099-01-01T00:00:00+00:00"


def _no_verdict(row: dict[str, Any]) -> None:
    del row["verdict"]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (_another_prompt, "fingerprint"),
        (_another_suite, "fingerprint"),
        (_other_verdict, "contradicts its own verdict"),
        (_worse_outcomes, "give 'regression'"),
        (_fewer_cases, "not those of its suite"),
        (_an_age, "has an age"),
        (_no_verdict, "incomplete ('verdict')"),
    ],
)
def test_a_row_that_was_edited_by_hand_is_refused(
    rows: dict[str, dict[str, Any]], edit: Callable[[dict[str, Any]], None], words: str
) -> None:
    edit(rows["triage"])
    found = problem(rows)
    assert found.startswith("Recorded evidence of triage v2: ")
    assert words in found


def test_a_file_is_read_as_it_was_written_with_a_line_for_each_case(
    rows: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    found = Recorded([*rows.values()], "hash")
    file = tmp_path / "sandbox.json"
    file.write_text(recorded.text(found))
    assert recorded.read(file) == found
    cases = sum(len(each["outcomes"]["cases"]) for each in rows.values())
    assert sum('"scored"' in line for line in file.read_text().splitlines()) == cases


@pytest.mark.parametrize(
    "content", [None, "{", "[]", "[" * 10_000, '{"evidence": [1]}', '{"rows": []}']
)
def test_an_unreadable_file_is_one_sentence(
    content: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "sandbox.json"
    monkeypatch.setattr("evals.recorded.read.__defaults__", (file,))
    if content is not None:
        file.write_text(content)
    assert cli.main(["check-evidence"]) == codes.WRONG
    (line,) = capsys.readouterr().err.splitlines()
    assert str(file) in line


def test_the_command_fails_with_each_problem(
    rows: dict[str, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "sandbox.json"
    monkeypatch.setattr("evals.recorded.read.__defaults__", (file,))
    file.write_text(json.dumps({"sandbox": recorded.sandbox_hash(), "evidence": []}))
    assert cli.main(["check-evidence"]) == codes.WRONG
    assert len(capsys.readouterr().err.splitlines()) == len(rows)
    file.write_text(recorded.text(Recorded([*rows.values()], recorded.sandbox_hash())))
    assert cli.main(["check-evidence"]) == 0
