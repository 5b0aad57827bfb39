"""`python evals/run_eval.py` runs a set of inputs, or names the part that does not run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import OperationalError

from aifeature import registry, suites
from aifeature.services import controls
from aifeature.services.monitoring import signs_of_life
from aifeature.services.monitoring.signs_of_life import LastSeen
from aifeature.services.promotion import activations
from evals import cli, ready, run_eval, suite_checks

COMMAND = "python -m evals.local python evals/run_eval.py"


def test_the_shipped_set_is_a_valid_suite_of_its_feature() -> None:
    feature = registry.get("summarize")
    suite = suites.load(feature, path=run_eval.ROOT / "evals" / "test_set.json")
    assert len(suite.cases) == 10
    assert suite_checks.problems(feature, suite) == []
    for case in suite.cases:
        keywords = case.expected.keywords
        assert keywords is not None
        assert str(keywords.all[0]).casefold() in case.input["document"].casefold()


def test_without_a_system_it_names_the_command_from_any_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, run_eval.__file__],
        cwd=tmp_path,
        env={"LOCAL_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("No system is set up here: SECRET_KEY: Field required")
    assert done.stderr.count("\n") == 1
    assert COMMAND in done.stderr


def test_each_part_that_does_not_run_is_named(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    assert ready.missing() == "The broker (REDIS_URL) does not answer."
    monkeypatch.setattr(redis.Redis, "ping", lambda _: True)

    def away() -> None:
        raise OperationalError

    monkeypatch.setattr(signs_of_life, "last_seen", away)
    assert "The database (DATABASE_URL) does not answer" in ready.missing()
    monkeypatch.setattr(ready, "START_S", 0)
    live = LastSeen(live=1)
    for queue in ("evals", "control"):
        seen = {"evals": live, "control": live, queue: LastSeen()}
        monkeypatch.setattr(signs_of_life, "last_seen", lambda seen=seen: seen)
        assert ready.missing() == f"No worker serves the queue {queue}."
    monkeypatch.setattr(signs_of_life, "last_seen", lambda: {"evals": live, "control": live})
    assert ready.missing() == ""


def test_it_runs_the_live_prompt_or_the_active_one_by_the_usual_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[list[str]] = []

    def main(arguments: list[str]) -> int:
        called.append(arguments)
        return 3

    monkeypatch.setattr(cli, "main", main)
    live = {"answer": "v2-of-answer"}
    monkeypatch.setattr(activations, "proven_row", lambda _: None)
    monkeypatch.setattr(controls, "live_version", lambda feature: live.get(feature.slug))
    monkeypatch.setattr(controls, "prompt_version", lambda feature: f"v3-of-{feature.slug}")
    assert run_eval.main(["--feature", "answer", "mine.json"]) == 3
    assert run_eval.main([]) == 3
    first, second = called
    assert first == [
        *("run", "answer", "--suite", "mine.json"),
        *("--repeats", "1", "--prompt", "v2-of-answer"),
    ]
    assert (second[1], second[-1]) == ("summarize", "v3-of-summarize")
    assert Path(second[3]) == run_eval.ROOT / "evals" / "test_set.json"
