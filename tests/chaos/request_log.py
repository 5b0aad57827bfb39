"""The log of all requests of the users and their results, one JSON line each."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

Action = Literal[
    "submit", "replay", "conflict", "poll", "cancel", "stream", "list", "streamed", "late", "busy"
]
"""Three are not requests. `streamed`: the content of one connection to a stream, after its end;
`late`: the users' process got no CPU time from `begun` to `at`; `busy`: all cores of the machine
were busy from `begun` to `at`."""

NOTED: Final = frozenset({"late", "busy"})
"""Notes on the machine, not on a user."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log. Times in seconds since the epoch."""

    user: int
    action: Action
    key: str
    """The job's idempotency key; with `user` it identifies the job before it has an id."""

    begun: float
    at: float
    """Time of the answer or the failure."""

    job: str = ""
    http: int = 0
    """Status of the answer; 0: there was none."""

    error: str = ""
    """Name and text of the exception that replaced an answer or ended a stream."""

    reused: bool = False
    """Whether its connection had served another request before."""

    status: str = ""
    """The job's status in the answer."""

    problem: str = ""
    """`code` of the problem document; `no problem document` for an error without one."""

    retry_after: str | None = None
    left: str | None = None
    """The answer's RateLimit header."""

    body: dict[str, Any] | None = None
    """The job, once it has ended."""

    text: str | None = None
    """Of a stream: the text on the screen when the connection ended."""

    last_event: str = ""
    """Of a stream: `result` or `error` if it sent the job's end."""

    ids: list[str] = field(default_factory=list)
    """Of a stream: the event ids in order of arrival."""


class RequestLog:
    """Appends to a file. Each line is written whole, even if the process is killed."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, entry: Entry) -> None:
        os.write(self._fd, (json.dumps(asdict(entry)) + "\n").encode())


def read(path: Path) -> list[Entry]:
    return [Entry(**json.loads(line)) for line in path.read_text().splitlines()]


def now() -> float:
    """Seconds since the epoch."""
    return time.time()
