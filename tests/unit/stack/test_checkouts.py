"""Two checkouts on one host share no cookie, and the printed addresses work in a shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from project.stack import plan
from project.stack.environment import stack_environment
from project.stack.external import External
from project.stack.local_dir import CHECKOUT, LocalDir
from project.stack.run_with_settings import environment
from project.stack.secrets import load_secrets

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME", "STAFF_COOKIE_NAME")


@pytest.fixture
def checkouts(tmp_path: Path) -> list[LocalDir]:
    """The data folders of two checkouts."""
    found = [LocalDir(tmp_path / name) for name in ("one", "two")]
    for local in found:
        local.prepare()
    return found


def variables(local: LocalDir) -> dict[str, str]:
    return stack_environment(
        local=local,
        secrets=load_secrets(local),
        external=External(None, None, None, None),
        database_url="postgresql://app@127.0.0.1:1/app",
        redis_url="redis://127.0.0.1:1/0",
        ports={"web": 8000, "flower": 5555, "sandbox": 8090},
    )


COOKIES = f"""
import importlib, json, os, sys
for environment in json.load(sys.stdin):
    os.environ.clear()
    os.environ.update(environment)
    settings = importlib.reload(importlib.import_module("project.settings"))
    print(*(getattr(settings, name) for name in {NAMES!r}))
"""


def cookies(*environments: dict[str, str]) -> list[list[str]]:
    """Return the names of the cookies in each environment."""
    done = subprocess.run(
        [sys.executable, "-c", COOKIES],
        cwd=CHECKOUT,
        input=json.dumps([{**os.environ, **environment("settings"), **e} for e in environments]),
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split() for line in done.stdout.splitlines()]


def test_two_checkouts_share_no_cookie_and_each_keeps_its_own(checkouts: list[LocalDir]) -> None:
    first, again = variables(checkouts[0]), variables(checkouts[0])
    assert first["COOKIE_SUFFIX"] == again["COOKIE_SUFFIX"]
    *named, plain = cookies(first, variables(checkouts[1]), {"COOKIE_SUFFIX": ""})
    assert len({*named[0], *named[1], *plain}) == 3 * len(NAMES)
    assert plain == ["sessionid", "csrftoken", "staff_browser"]


def test_the_printed_lines_work_in_a_shell(checkouts: list[LocalDir]) -> None:
    secrets = load_secrets(checkouts[0])
    lines = plan.addresses("http://127.0.0.1:8001/", 5556, secrets)
    exports = [line for line in lines if line.startswith("export ")]
    script = "\n".join([*exports, 'printf "%s %s" "$URL/api/v1/features" "$TOKEN"'])
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"http://127.0.0.1:8001/api/v1/features {secrets.demo_token}"
