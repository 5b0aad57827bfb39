"""The record of calls, their times and outcomes: evidence for tests of loss and cost."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(slots=True)
class Call:
    """One call, with a hash of its prompt instead of the text. Times are seconds since 1970."""

    request_id: str
    attempt_id: str | None
    path: str
    model: str | None
    stream: bool
    prompt_sha256: str
    bytes_received: int
    started_at: float
    ended_at: float | None = None
    status: int | None = None
    """HTTP status; None before it is sent."""

    outcome: str = "running"
    """`completed`, `rejected`, `client_gone`, `shutdown`, `failed`, or the fault."""

    fault: str | None = None
    usage: dict[str, Any] | None = None
    """Usage of the whole answer, also when its stream was cut; None if the call failed."""

    billed: dict[str, Any] | None = None
    """The billed usage or None. It differs from `usage` only for a refusal without output."""


class Record:
    """The last calls in memory, and all calls in an optional file."""

    def __init__(self, size: int, file: Path | None) -> None:
        self._size = size
        self._calls: OrderedDict[str, Call] = OrderedDict()
        self._fd: int | None = None
        if file is not None:
            self._fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def arrived(self, call: Call) -> None:
        """Record a call before it is answered."""
        self._calls[call.request_id] = call
        if len(self._calls) > self._size:
            self._calls.popitem(last=False)
        self._append("arrived", asdict(call))

    def ended(self, call: Call, *, at: float) -> None:
        """Record the end of a call, first in the file, then in memory.

        Other threads read the call in the meantime: once it has ended, its line is in the file.
        """
        self._append("ended", {**asdict(call), "ended_at": at})
        call.ended_at = at

    def calls(self, *, attempt_id: str | None = None, since: float = 0.0) -> list[dict[str, Any]]:
        """Return calls in order of arrival, of one attempt or all, started at `since` or later."""
        return [
            asdict(call)
            for call in tuple(self._calls.values())  # another thread may add calls
            if call.started_at >= since and attempt_id in (None, call.attempt_id)
        ]

    def clear(self) -> None:
        """Remove the calls from memory; the file stays."""
        self._calls.clear()

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _append(self, event: str, call: Mapping[str, Any]) -> None:
        # One write for each line: the line is complete even if the process is killed after it.
        if self._fd is not None:
            os.write(self._fd, (json.dumps({"event": event, **call}) + "\n").encode())
