"""Evaluations with a real key show their price first, and start only if a person types yes."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from aifeature.services import controls
from aifeature.services.promotion import activations
from evals import cli, local, ready
from evals.commands import codes, driving
from evals.harness import costs, plan
from evals.models import Run
from evals.resuming import RESUME
from project.stack.children import Launcher
from project.stack.errors import StackError
from project.stack.local_dir import CHECKOUT

KEY = "made-up-secret"
REAL = {"ANTHROPIC_API_KEY": KEY}


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({**REAL, "CI": "true"}, "CI is set"),
        ({**REAL, "PROVIDER": "sandbox"}, "PROVIDER is sandbox"),
        ({}, "ANTHROPIC_API_KEY is not set"),
        ({"ANTHROPIC_API_KEY": ""}, "ANTHROPIC_API_KEY is not set"),
    ],
)
def test_a_real_provider_needs_a_key_and_no_ci(environ: dict[str, str], words: str) -> None:
    problem = local.why_not_live(environ)
    assert problem.startswith(words)
    assert KEY not in problem


@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY_FILE"])
def test_a_key_may_be_in_a_file(name: str) -> None:
    assert local.why_not_live({name: KEY, "CI": ""}) == ""


def test_only_a_live_system_gets_the_key_and_the_address() -> None:
    environ = {**REAL, "ANTHROPIC_BASE_URL": "https://gateway.example", "OTHER": "x"}
    assert local.provider(environ, live=True, port=9) == {
        "PROVIDER": "anthropic",
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_BASE_URL": "https://gateway.example",
    }
    assert "ANTHROPIC_BASE_URL" not in local.provider(REAL, live=True, port=9)
    sandbox = local.provider(environ, live=False, port=9)
    assert sandbox["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:9"
    assert KEY not in sandbox.values()


def test_only_the_live_system_keeps_its_database(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[dict[str, object]] = []

    def running(**given: object) -> None:
        found.append(given)
        raise StackError("stop here")

    monkeypatch.setattr(local, "running", running)
    for live in (True, False):
        with pytest.raises(StackError), local.system(live=live):
            pass
    assert found == [{"durable": True, "keep": local.DATA}, {"durable": False, "keep": None}]
    assert local.DATA.parent == CHECKOUT / ".local", "`make clean` removes it"


def test_a_command_that_cannot_be_started_is_no_regression(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    system = local.System({}, tmp_path, Launcher(tmp_path, tmp_path, ""))
    monkeypatch.setattr(local, "system", lambda **_: nullcontext(system))
    command = str(tmp_path / "no-such-command")
    monkeypatch.setattr("sys.argv", ["evals.local", command])
    assert local.main() == codes.WRONG
    assert f"{command} cannot be started: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("stack_runs", [True, False])
def test_live_evidence_goes_to_the_local_stack(
    stack_runs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "evidence-live.json"
    commands: list[tuple[list[str], dict[str, str]]] = []

    def run(command: list[str], env: dict[str, str]) -> int:
        commands.append((command[2:], dict(env)))
        file.touch()
        return 0

    monkeypatch.setattr(local, "LIVE_EVIDENCE", file)
    monkeypatch.setattr(local, "_exit_code", run)
    monkeypatch.setenv("LOCAL_DIR", str(tmp_path))
    if stack_runs:
        (tmp_path / "stack.env").touch()
    local._export({"LIVE": "1"})
    (exported, env), *loaded = commands
    assert (exported, env) == (["evals", "export", "--follow", str(file)], {"LIVE": "1"})
    assert [(each, "LIVE" in env) for each, env in loaded] == [
        (["load_evidence", str(file)], False)
    ] * stack_runs


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[plan.Wanted]:
    """The runs that were started."""
    found: list[plan.Wanted] = []

    def start(wanted: plan.Wanted, *, reuse: bool) -> Run:
        found.append(wanted)
        raise plan.PlanError(f"stop here, reuse {reuse}")

    monkeypatch.setattr(ready, "missing", lambda: "")
    monkeypatch.setattr(activations, "proven_row", lambda _: None)
    monkeypatch.setattr(controls, "live_version", lambda _: None)
    monkeypatch.setattr(controls, "prompt_version", lambda _: "v1")
    monkeypatch.setattr(
        plan,
        "estimate",
        lambda wanted, reuse: costs.Estimate(200, 20, wanted.repeats * 1_000_000),
    )
    monkeypatch.setattr(plan, "suite_changes", lambda _: [])
    monkeypatch.setattr(plan, "start", start)
    monkeypatch.setattr("evals.commands.starting.transaction.atomic", nullcontext)
    return found


def test_the_price_is_shown_before_the_question(
    started: list[plan.Wanted], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(question: str) -> str:
        shown = capsys.readouterr().out
        assert (
            "summarize v4 against v1: 110 cases, 2 repeats, 220 calls to make (20 by the judge),"
            " about $2.00 (at most $10.00)\n"
        ) in shown
        assert "Together about $4.00" in shown
        assert "yes" in question
        assert started == []
        return "yes\n"

    monkeypatch.setattr("builtins.input", answer)
    assert cli.main(["run", "summarize", "triage", "-n", "2", "--ask"]) == codes.WRONG
    assert [wanted.feature.slug for wanted in started] == ["summarize"]


def test_in_a_trial_with_staff_the_candidate_is_compared_with_the_prompt_of_users(
    started: list[plan.Wanted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activations, "proven_row", lambda _: None)
    monkeypatch.setattr(controls, "live_version", lambda _: "v2")
    monkeypatch.setattr(controls, "prompt_version", lambda _: "v4")
    assert cli.main(["run", "summarize", "-n", "2"]) == codes.WRONG
    (wanted,) = started
    assert (wanted.candidate, wanted.baseline) == ("v4", "v2")


@pytest.mark.parametrize("answer", ["", "no", "y", "YES!", None])
def test_any_other_answer_starts_nothing(
    started: list[plan.Wanted], monkeypatch: pytest.MonkeyPatch, answer: str | None
) -> None:
    def answered(_: str) -> str:
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", answered)
    assert cli.main(["run", "triage", "-n", "2", "--ask"]) == codes.WRONG
    assert started == []


def test_a_feature_that_is_named_twice_is_paid_once(
    started: list[plan.Wanted], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("builtins.input", lambda _: "no")
    assert cli.main(["run", "triage", "triage", "-n", "2", "--ask"]) == codes.WRONG
    assert "Together about $2.00" in capsys.readouterr().out


def test_an_unknown_feature_ends_it_before_the_question(
    started: list[plan.Wanted], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "judge", "--ask"]) == codes.WRONG
    assert "The feature judge has no suite" in capsys.readouterr().err
    assert started == []


ENDS = "This system ends with its database"


@pytest.mark.parametrize(
    ("resume", "words"),
    [
        (None, ["Jobs that were sent go on. To resume: `python -m evals run --resume {run}`."]),
        (local.RESUME_LIVE, ["workers end too", '`make evals-live ARGS="--resume {run}"`.']),
        ("", [f"Interrupted. {ENDS}"]),
    ],
    ids=["a system that stays", "live", "throwaway"],
)
def test_after_an_interrupt_the_next_step_is_one_that_works(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    resume: str | None,
    words: list[str],
) -> None:
    monkeypatch.delenv(RESUME, raising=False)
    if resume is not None:
        monkeypatch.setenv(RESUME, resume)

    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(driving, "Driver", lambda run: run)
    monkeypatch.setattr(driving, "_is_under_way", interrupted)
    run = Run(feature="triage")
    assert driving.drive_runs([run]) == codes.UNFINISHED
    shown = capsys.readouterr().err
    for part in words:
        assert part.format(run=run.pk) in shown
    assert (str(run.pk) in shown) is (resume != "")
