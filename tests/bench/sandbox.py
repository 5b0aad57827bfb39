"""The sandbox provider as the benches see it: its record is the clock of what arrived when."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from tests.bench.report import BrokenRunError

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox process."""

    url: str

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            self._ask("/sandbox/health", "GET")
        except (OSError, ValueError):
            return False
        return True

    def clear(self) -> None:
        """Forget the calls so far."""
        self._ask("/sandbox/calls", "DELETE")

    def calls(self) -> list[dict[str, Any]]:
        """The calls since the last `clear`, also those that are under way."""
        found: list[dict[str, Any]] = self._ask("/sandbox/calls", "GET")["calls"]
        return found

    def completed(self, expected: int) -> list[dict[str, Any]]:
        """The calls since the last `clear`.

        Raises:
            BrokenRunError: there are not exactly `expected`, or one was not answered in full.
        """
        calls = self.calls()
        bad = [call["outcome"] for call in calls if call["outcome"] != "completed"]
        if bad or len(calls) != expected:
            raise BrokenRunError(
                f"the provider saw {len(calls)} calls of {expected}; not completed: {bad[:5]}"
            )
        return calls

    def _ask(self, path: str, method: str) -> Any:
        request = urllib.request.Request(self.url + path, method=method)  # noqa: S310 (our own)
        with _DIRECT.open(request, timeout=TIMEOUT_S) as answer:
            return json.loads(answer.read())
