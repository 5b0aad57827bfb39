"""`python -m evals` refuses arguments that it cannot follow, with a sentence and exit code 2."""

from __future__ import annotations

import pytest

from evals import cli, ready
from evals.commands import codes


@pytest.mark.parametrize("amount", ["nan", "sNaN", "inf", "0", "-1", "ten"])
def test_a_cap_is_an_amount_in_dollars(amount: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        cli.main(["run", "triage", f"--max-usd={amount}"])
    assert refused.value.code == codes.WRONG
    assert "dollars" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["-1", "0", "1.5", "all"])
def test_a_list_has_at_least_one_run(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        cli.main(["list", "--most", number])
    assert refused.value.code == codes.WRONG
    assert f"{number!r} is no number from 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given",
    [["triage"], ["--prompt=v1"], ["--against=v1"], ["--repeats=2"], ["--suite=x"], ["--no-reuse"]],
)
def test_a_resumed_run_takes_no_argument_of_a_new_one(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "--resume", "1a2b", *given]) == codes.WRONG
    name = "FEATURE" if given == ["triage"] else given[0].partition("=")[0]
    assert capsys.readouterr().err.endswith(f"leave out {name}.\n")


def test_no_run_to_resume_starts_no_new_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ready, "missing", lambda: "")
    assert cli.main(["run", "--resume", ""]) == codes.WRONG
    assert "There is no run ''" in capsys.readouterr().err
