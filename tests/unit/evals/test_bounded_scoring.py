"""A scorer that hangs, or ends its process, leaves an output unscored and stops nothing else."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from aifeature import features
from aifeature.suites import Case
from evals.scoring import ScorerError, bounded, plain, score, scorers
from tests.unit.evals import scored

SHORT_S = 0.2
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bounded._Process]:
    """A process that has loaded the feature of the tests."""
    folder = tmp_path_factory.mktemp("features") / "scored"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "feature.py").write_text(Path(scored.__file__).read_text())
    made = bounded._Process()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "__path__", [str(folder.parent)])
        patch.setattr(bounded, "_PROCESS", made)
        patch.setattr(bounded, "LIMIT_S", PATIENCE_S)
        yield made
    made.end()


def scored_by(process: bounded._Process, answer: str = "So.", **expected: Any) -> list[bool]:
    case = Case.model_validate(
        {"id": "a-case", "input": {"question": "How?"}, "expected": expected}
    )
    return [part.passed for part in score(scored.FEATURE, case, {"answer": answer})]


def pid(process: bounded._Process) -> int:
    assert process._child is not None
    return process._child.pid


def test_a_score_is_the_same_as_without_a_process(process: bounded._Process) -> None:
    case = Case.model_validate(
        {
            "id": "a-case",
            "input": {"question": "How?"},
            "expected": {"keywords": {"all": ["so", "not"]}, "custom": {"acts": "too blue"}},
        }
    )
    here = scorers.score(scored.FEATURE, case, {"answer": "So."})
    assert score(scored.FEATURE, case, {"answer": "So."}) == here
    assert [part.passed for part in here] == [True, False, False]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("a" * 45 + "!", {"keywords": {"all": ["/^(a+)+$/"]}}),
        ("So.", {"custom": {"acts": "holds"}}),
        ("So.", {"custom": {"acts": "sleeps"}}),
    ],
    ids=["expression", "function with the interpreter", "function that waits"],
)
def test_a_scorer_that_hangs_is_ended(
    process: bounded._Process,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    expected: dict[str, Any],
) -> None:
    assert scored_by(process, language="en") == [True, True]
    before = pid(process)
    monkeypatch.setattr(bounded, "LIMIT_S", SHORT_S)
    began = time.monotonic()
    with pytest.raises(ScorerError, match=r"^its scorers took longer than 0.2 s"):
        scored_by(process, answer, **expected)
    assert time.monotonic() - began < PATIENCE_S / 2
    assert not psutil.pid_exists(before)


@pytest.mark.parametrize(
    ("act", "problem"),
    [
        ("holds", r"its function plain took longer than 0\.2 s"),
        ("exits", "its function plain ended the process with code 3"),
        ("raises", "plain of scored raised KeyError"),
    ],
)
def test_a_plain_answer_is_bounded_as_well(
    process: bounded._Process, monkeypatch: pytest.MonkeyPatch, act: str, problem: str
) -> None:
    assert plain(scored.FEATURE, {"question": "So?"})["answer"] == "So?"
    monkeypatch.setattr(bounded, "LIMIT_S", SHORT_S)
    with pytest.raises(ScorerError, match=f"^{problem}"):
        plain(scored.FEATURE, {"question": act})
    monkeypatch.setattr(bounded, "LIMIT_S", PATIENCE_S)
    assert scored_by(process, language="en") == [True, True]


def test_a_process_that_is_paused_is_replaced(
    process: bounded._Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored_by(process, language="en")
    os.kill(pid(process), signal.SIGSTOP)
    monkeypatch.setattr(bounded, "LIMIT_S", SHORT_S)
    with pytest.raises(ScorerError, match="took longer"):
        scored_by(process, language="en")
    monkeypatch.setattr(bounded, "LIMIT_S", PATIENCE_S)
    assert scored_by(process, language="en") == [True, True]


@pytest.mark.parametrize(
    ("act", "problem"),
    [
        ("exits", "its scorers ended the process with code 3"),
        ("raises", "acts of scored raised KeyError"),
        ("false", "acts of scored returned no text but bool"),
    ],
)
def test_a_scorer_without_a_verdict_is_named(
    process: bounded._Process, act: str, problem: str
) -> None:
    with pytest.raises(ScorerError, match=f"^{problem}$"):
        scored_by(process, custom={"acts": act})
    assert scored_by(process, custom={"acts": "passes"}) == [True, True]


def test_an_output_of_another_form_is_no_pass(process: bounded._Process) -> None:
    case = Case.model_validate(
        {"id": "a-case", "input": {"question": "?"}, "expected": {"citations": {"all": ["s-1"]}}}
    )
    with pytest.raises(ScorerError, match="a scorer of scored raised AttributeError"):
        score(scored.FEATURE, case, {"answer": "So.", "sections": ["s-1"]})


def test_a_feature_that_the_process_lacks_is_no_pass(process: bounded._Process) -> None:
    case = Case.model_validate({"id": "a-case", "input": {}, "expected": {"language": "en"}})
    other = scored.FEATURE.model_copy(update={"slug": "other"})
    with pytest.raises(ScorerError, match="has loaded files without other"):
        score(other, case, {"answer": "So."})


def test_the_process_ends_with_its_parent(process: bounded._Process) -> None:
    scored_by(process, language="en")
    child = psutil.Process(pid(process))
    assert process._connection is not None
    process._connection.close()  # as the kernel does if the parent is killed
    process._connection = None
    assert child.wait(PATIENCE_S) is not None or not child.is_running()
    process.end()


def test_a_process_that_hangs_without_its_parent_ends_itself(process: bounded._Process) -> None:
    scored_by(process, language="en")
    assert process._child is not None
    assert process._connection is not None
    case = {"id": "a-case", "input": {"question": "?"}, "expected": {"custom": {"acts": "holds"}}}
    request = {"slug": "scored", "case": case, "output": {"answer": "So."}, "limit_s": SHORT_S}
    process._connection.sendall(json.dumps(request).encode() + b"\n")
    process._connection.close()
    process._connection = None
    assert process._child.wait(PATIENCE_S) == -signal.SIGALRM
    process.end()
