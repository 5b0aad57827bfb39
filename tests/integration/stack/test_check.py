"""The check of changed features has a limit of its own, and ends at a newer change."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from project.stack import plan
from project.stack.children import Launcher
from project.stack.errors import ComponentFailedError, NewerChangeError
from project.stack.local_dir import LocalDir
from project.stack.processes import recorded
from project.stack.runner import Session
from project.stack.secrets import load_secrets
from project.stack.signals import StopRequest

if TYPE_CHECKING:
    from project.stack.instance import Instance
    from project.stack.supervisor import Tick


def newer() -> None:
    raise NewerChangeError


@pytest.mark.parametrize(
    ("tick", "problem"),
    [(lambda: None, "did not end in 0 s: does the code wait"), (newer, "NewerChangeError")],
)
def test_a_check_that_hangs_is_ended(
    tick: Tick,
    problem: str,
    local: LocalDir,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hangs = tmp_path / "python"
    hangs.write_text("#!/bin/sh\nsleep 600\n")
    hangs.chmod(0o700)
    monkeypatch.setattr(plan, "PYTHON", str(hangs))
    monkeypatch.setattr(plan, "CHECK_S", 0.2)
    launcher = Launcher(local.pids, local.logs, "some-run")
    session = Session(local, launcher, ExitStack(), StopRequest(), cast("Instance", None))
    with pytest.raises((ComponentFailedError, NewerChangeError)) as caught:
        plan._check_features(session, {}, load_secrets(local), tick)
    assert problem in repr(caught.value)
    assert recorded(local.pids) == []
