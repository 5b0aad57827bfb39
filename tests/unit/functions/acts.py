"""A feature of the tests. The input selects the action of its check. Tests copy this file."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from aifeature.spec import Feature, Route

FIRST_PID = "first-pid"


class Text(BaseModel):
    text: str
    folder: str = "/"


class Answer(BaseModel):
    value: Any


def holds_the_interpreter() -> None:
    re.match(r"(a+)+$", "a" * 45 + "b")


def recurses() -> None:
    recurses()


def hangs_with_a_process() -> None:
    """A process that it has started holds its connection, and would outlive it."""
    os.fork()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    threading.Event().wait()


def leaves_a_thread() -> None:
    threading.Thread(target=threading.Event().wait, daemon=True).start()


def prints() -> None:
    os.write(1, b"SECRET")
    os.write(2, b"SECRET")


ACTIONS: dict[str, Callable[[], Any]] = {
    "holds": holds_the_interpreter,
    "forks": hangs_with_a_process,
    "raises": lambda: ACTIONS["SECRET"],
    "recurses": recurses,
    "exits": lambda: sys.exit(1),
    "ends": lambda: os._exit(3),
    "crashes": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "is killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "thread": leaves_a_thread,
    "prints": prints,
}


def check(value: Text, _answer: Answer) -> list[str]:
    """Do it, and return the pid, or what the text names."""
    if value.text == "is killed once":
        mark = Path(value.folder, FIRST_PID)
        if not mark.exists():
            mark.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
    if value.text == "modules":
        return sorted(sys.modules)
    if value.text == "meets":
        Path(value.folder, str(os.getpid())).touch()
        while len(list(Path(value.folder).iterdir())) < 2:
            pass
    ACTIONS.get(value.text, int)()
    return [str(os.getpid())]


def approval(value: Text, answer: Answer) -> Any:
    return object()


def plain(value: Text) -> Answer:
    return Answer(value=ACTIONS if value.text == "no JSON" else "\ud800")


FEATURE = Feature(
    slug="acts",
    title="Acts",
    description="Does what its input says.",
    input_model=Text,
    output_model=Answer,
    prompt_version="v1",
    routes=(Route(models=("m",)),),
    check=check,
    approval=approval,
    plain=plain,
)
