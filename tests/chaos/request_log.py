"""What a user wrote down: every request and what came of it, one JSON line each."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

Deed = Literal[
    "submit", "replay", "conflict", "poll", "cancel", "stream", "list", "streamed", "late", "busy"
]
"""Three are no requests: `streamed` is what one connection to a stream brought, once it has ended;
`late`: the users' own process came to nothing from `begun` to `at`; `busy`: all cores of the
machine worked from `begun` to `at`."""

NOTED: Final = frozenset({"late", "busy"})
"""Deeds of nobody: notes on the machine."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the diary. Times in seconds since the epoch."""

    user: int
    deed: Deed
    key: str
    """The idempotency key of the job it is about; with `user` it names the job from its start."""

    begun: float
    at: float
    """When the answer was there, or the failure."""

    job: str = ""
    http: int = 0
    """Status of the answer; 0 when there was none."""

    error: str = ""
    """What came instead of an answer, or ended a stream: the exception's name and text."""

    reused: bool = False
    """Whether it was sent on a connection that had served another request before."""

    status: str = ""
    """Of the job, as the answer says."""

    problem: str = ""
    """`code` of a problem document; `no problem document` when an error came without one."""

    retry_after: str | None = None
    left: str | None = None
    """Of the answer's RateLimit header."""

    body: dict[str, Any] | None = None
    """The job as shown, once it is terminal."""

    text: str | None = None
    """Of a stream: what the user had on the screen when the connection ended."""

    last_event: str = ""
    """Of a stream: `result` or `error` when it was told the end."""

    ids: list[str] = field(default_factory=list)
    """Of a stream: the event ids in the order they came."""


class RequestLog:
    """Appends to a file; a line is whole even if the process is killed after it."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, entry: Entry) -> None:
        """Add a line."""
        os.write(self._fd, (json.dumps(asdict(entry)) + "\n").encode())


def read(path: Path) -> list[Entry]:
    """All entries, in the order they were written."""
    return [Entry(**json.loads(line)) for line in path.read_text().splitlines()]


def now() -> float:
    """Seconds since the epoch."""
    return time.time()
