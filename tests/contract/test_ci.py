"""The workflows of `deploy/ci` run commands that exist, for files that exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from evals import cli, local
from tests.contract.simple_yaml import YamlError, read

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "ci"
PYTHON = ".venv/bin/python"
SHELL = {"test", "cat"}
GITHUB: Any = read((FOLDER / "github-actions.yml").read_text(encoding="utf-8"))
GITLAB: Any = read((FOLDER / "gitlab-ci.yml").read_text(encoding="utf-8"))
STEPS = GITHUB["jobs"]["evals"]["steps"]
JOB = GITLAB["evals"]
COMMANDS = {
    "github": [step["run"] for step in STEPS if "run" in step],
    "gitlab": JOB["script"],
}
PATHS = {
    "github": GITHUB["on"]["pull_request"]["paths"],
    "gitlab": [path.replace("/**/*", "/**") for path in JOB["rules"][0]["changes"]],
}
FORGES = sorted(COMMANDS)
NEEDED = (
    "aifeature/features/triage/v1.md",
    "aifeature/prompts.py",
    "aifeature/services/execution/routes.py",
    "aifeature/spec.py",
    "aifeature/suites.py",
    "evals/evidence/sandbox.json",
    "evals/statistics/pooled.py",
    "evals/suites/triage/cases.jsonl",
    "workers/inference/catalog.py",
    "workers/sandbox/perturb.py",
)
"""Files of each kind on which a verdict depends."""


def problems(command: str) -> list[str]:
    """Return the parts of a command that do not exist."""
    match shlex.split(command):
        case ["make", target]:
            makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
            return [] if re.search(rf"^{target}:", makefile, re.MULTILINE) else [target]
        case [program, "-m", "evals", *arguments] if program == PYTHON:
            cli._parser().parse_args(arguments)
            return []
        case [program, "-m", module, *rest] if program == PYTHON:
            found = [] if importlib.util.find_spec(module) else [module]
            return found + (problems(shlex.join(rest)) if rest else [])
        case [program, *_] if program in SHELL:
            return []
    return [command]


@pytest.mark.parametrize("forge", FORGES)
def test_each_command_exists(forge: str) -> None:
    assert [each for command in COMMANDS[forge] for each in problems(command)] == []
    (gate,) = [command for command in COMMANDS[forge] if "evals" in command and "gate" in command]
    assert gate.startswith(f"{PYTHON} -m {local.__name__} {PYTHON} -m evals gate --changed --base ")


def test_a_command_that_does_not_exist_is_found() -> None:
    assert problems("make no-such-target") == ["no-such-target"]
    assert problems(f"{PYTHON} -m evals.nothing x") == ["evals.nothing", "x"]
    assert problems("curl example.org") == ["curl example.org"]
    with pytest.raises(SystemExit):
        problems(f"{PYTHON} -m evals gate --no-such-option")


def test_the_files_that_are_published_are_those_that_the_gate_writes() -> None:
    for commands in COMMANDS.values():
        (gate,) = [shlex.split(command) for command in commands if " gate " in command]
        options = cli._parser().parse_args(gate[gate.index("gate") :])
        assert (str(options.junit), str(options.summary)) == ("evals.xml", "evals.md")
    reports = str(local.REPORTS.relative_to(ROOT))
    (upload,) = [step["with"] for step in STEPS if "upload-artifact" in step.get("uses", "")]
    assert upload["path"].split() == ["evals.xml", "evals.md", reports]
    assert JOB["artifacts"]["reports"] == {"junit": "evals.xml"}
    assert [path.rstrip("/") for path in JOB["artifacts"]["paths"]] == ["evals.md", reports]


def test_both_forges_start_for_the_same_files_and_each_of_these_exists() -> None:
    assert PATHS["github"] == PATHS["gitlab"]
    for path in PATHS["github"]:
        assert any(each.is_file() for each in ROOT.glob(path.replace("/**", "/**/*"))), path
    found = {
        file.relative_to(ROOT).as_posix()
        for path in PATHS["github"]
        for file in ROOT.glob(path.replace("/**", "/**/*"))
    }
    assert [each for each in NEEDED if each not in found] == []


def test_no_job_can_reach_a_real_key() -> None:
    assert local.why_not_live({"CI": "true", "ANTHROPIC_API_KEY": "k"})
    for file in FOLDER.glob("*.yml"):
        text = "\n".join(
            line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")
        )
        assert not re.search(r"secrets\.|API_KEY|--live|evals-live|pull_request_target", text)
        assert "://" not in text, "no host of a registry"


def test_a_job_has_few_rights_and_ends() -> None:
    assert GITHUB["permissions"] == {"contents": "read"}
    assert GITHUB["concurrency"]["cancel-in-progress"] == "true"
    assert JOB["interruptible"] == "true"
    assert int(GITHUB["jobs"]["evals"]["timeout-minutes"]) == int(JOB["timeout"].split()[0])
    (checkout,) = [step["with"] for step in STEPS if "checkout" in step.get("uses", "")]
    assert checkout == {"fetch-depth": "0", "persist-credentials": "false"}
    assert JOB["variables"]["GIT_DEPTH"] == "0"
    for command in COMMANDS["github"]:
        assert "${{" not in command, "text of a pull request is never part of a command"


@pytest.mark.parametrize(
    "text",
    ["a: [b]", "a: &b c", "a: b: c", "a: b # c", "a: 'b'", "a:", "a: 1\na: 2", "a: b\n  c: d", "x"],
)
def test_yaml_with_a_second_meaning_is_refused(text: str) -> None:
    with pytest.raises(YamlError):
        read(text)
