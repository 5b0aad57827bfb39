"""A client of the sandbox provider. Its record has the time of each call."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench.report import BrokenRunError

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Sandbox:
    url: str

    def answers(self) -> bool:
        try:
            self._request("/sandbox/health", "GET")
        except (OSError, ValueError):
            return False
        return True

    def clear(self) -> None:
        self._request("/sandbox/calls", "DELETE")

    def calls(self) -> list[dict[str, Any]]:
        """Return the calls since the last `clear`, running ones too."""
        found: list[dict[str, Any]] = self._request("/sandbox/calls", "GET")["calls"]
        return found

    def completed(self, expected: int) -> list[dict[str, Any]]:
        """Return the calls since the last `clear`.

        Raises BrokenRunError unless there are `expected` calls with complete answers.
        """
        calls = self.calls()
        bad = [call["outcome"] for call in calls if call["outcome"] != "completed"]
        if bad or len(calls) != expected:
            raise BrokenRunError(
                f"the provider has {len(calls)} calls of {expected}; not completed: {bad[:5]}"
            )
        return calls

    def set_faults(self, plan: Mapping[str, Any]) -> None:
        """Replace the fault plan."""
        self._request("/sandbox/faults", "PUT", plan)

    def _request(self, path: str, method: str, body: Mapping[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)  # noqa: S310
        with _DIRECT.open(request, timeout=TIMEOUT_S) as answer:
            return json.loads(answer.read())
