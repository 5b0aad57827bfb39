"""The processes of the local stack that run our own code, with the check that each is ready."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from project.stack.children import PYTHON
from project.stack.local_dir import CHECKOUT
from project.stack.ports import HOST
from project.stack.readiness import Check, answers, logged
from project.stack.secrets import FLOWER_USER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ANY_STATUS = 600
GUNICORN_CONFIG = str(CHECKOUT / "deploy" / "gunicorn.conf.py")
TASK_COLUMNS = "name,state,kwargs,received,started,runtime,worker"
"""kwargs shows the job's id. Task arguments are ids only."""


@dataclass(frozen=True, slots=True)
class Component:
    """One supervised process."""

    name: str
    argv: tuple[str, ...]
    ready: Check
    address: str
    """The address or a description, shown on the terminal."""

    env: Mapping[str, str] = field(default_factory=dict)
    """Variables of this component alone."""

    reload: Literal["never", "hup", "restart"] = "never"
    """How it loads changed features: by SIGHUP, or by SIGTERM and a new start."""


def django_components(
    *, logs: Path, ports: Mapping[str, int], flower_password: str
) -> list[Component]:
    """Return all processes except the servers, in the order of the start-up table.

    Args:
        logs: The folder of each `<name>.log`.
        ports: The ports of `web`, `flower` and, if the sandbox provider runs, `sandbox`.
        flower_password: The password of Flower.
    """
    components = [
        _web(ports["web"]),
        _worker(logs, "llm", threads=16),
        _worker(logs, "evals", threads=2),
        _worker(logs, "control", threads=2),
        _beat(logs),
        _flower(ports["flower"], flower_password),
    ]
    if "sandbox" in ports:
        components.insert(0, _sandbox(ports["sandbox"]))
    return components


def _sandbox(port: int) -> Component:
    return Component(
        "sandbox",
        (PYTHON, "-m", "workers.sandbox", "--host", HOST, "--port", str(port)),
        answers(port, "/", below=ANY_STATUS),
        f"http://{HOST}:{port}",
    )


def _web(port: int) -> Component:
    return Component(
        "web",
        (PYTHON, "-m", "gunicorn", "-c", GUNICORN_CONFIG, "project.asgi:application"),
        answers(port, "/healthz"),
        f"http://{HOST}:{port}/",
        # Less than the time that the supervisor gives a process to end.
        {"WEB_BIND": f"{HOST}:{port}", "WEB_CONCURRENCY": "2", "WEB_GRACEFUL_TIMEOUT": "8"},
        reload="hup",
    )


def _celery(*arguments: str) -> tuple[str, ...]:
    return (PYTHON, "-m", "celery", "-A", "project", *arguments)


def _worker(logs: Path, queue: str, *, threads: int) -> Component:
    name = f"worker-{queue}"
    return Component(
        name,
        _celery(
            *("worker", "-Q", queue, "-P", "threads", "-c", str(threads), "-n", f"{queue}@%h"),
            *("-E", "--without-gossip", "--without-mingle", "-l", "INFO"),
        ),
        logged(logs / f"{name}.log", " ready."),
        f"queue {queue}, {threads} threads",
        # Less than the time that the supervisor gives a process to end.
        {"WORKER_GRACE_SECONDS": "8"},
        reload="restart",
    )


def _beat(logs: Path) -> Component:
    return Component(
        "beat",
        _celery(
            *("beat", "-S", "project.beat:Scheduler"),
            *("--pidfile=", "-l", "INFO"),
        ),
        logged(logs / "beat.log", "beat: the schedule is loaded"),
        "schedule in the database",
    )


def _flower(port: int, password: str) -> Component:
    return Component(
        "flower",
        (
            *(PYTHON, "-m", "project.flower"),
            *(f"--address={HOST}", f"--port={port}", "--persistent=false"),
            f"--tasks_columns={TASK_COLUMNS}",
        ),
        answers(port, "/healthcheck"),
        f"http://{HOST}:{port}/",
        # In the environment, because other users can read a command line.
        {"FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{password}", "FLOWER_READ_ONLY": "true"},
    )
