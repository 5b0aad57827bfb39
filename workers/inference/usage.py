"""Validation of the usage that an answer reports.

If a count cannot be right, the usage counts as unseen: the call is counted at its reserved bound,
and on-call is alerted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from workers.inference import modifiers
from workers.inference.types import TokenUsage

_FIELDS: Final = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_input_tokens",
    "cache_write_tokens": "cache_creation_input_tokens",
}


@dataclass(frozen=True, slots=True)
class TokenBound:
    """The most tokens that a request can use."""

    prompt: int
    output: int


class UsageReport:
    """Usage of one answer, as far as it was reported. No input raises an exception."""

    def __init__(self, most: TokenBound) -> None:
        self._most = most
        self._counts: dict[str, int] = {}
        self._modifiers = modifiers.PLAIN
        self._problem = ""
        self._final = False

    def read(self, usage: Any, *, final: bool) -> None:
        """Read a report. Its counts replace earlier ones. `final`: it is the answer's last."""
        if final and not self._final:
            self._final = True
            self._counts.pop("output_tokens", None)  # `message_start` reports no total
        if usage is None:
            return
        if not isinstance(usage, Mapping):
            self._problem = self._problem or "the usage is not an object"
            return
        for ours, theirs in _FIELDS.items():
            count = usage.get(theirs)
            if count is None:
                continue
            if type(count) is not int or count < 0:  # `isinstance` would accept booleans
                self._problem = self._problem or f"{theirs} is not a count"
                return
            self._counts[ours] = count
        known = modifiers.modified(TokenUsage(), self._modifiers)
        self._modifiers = modifiers.of(modifiers.reported(self._found(), usage, known))

    @property
    def usage(self) -> TokenUsage | None:
        """Usage reported so far. None if none was reported, or if it cannot be right."""
        if self._problem or not self._counts:
            return None
        found = self._found()
        return None if self._too_much(found) else found

    def problem(self, *, wrote: bool) -> str:
        """Return the reason to reject the usage of a complete answer. Empty if it is valid."""
        if self._problem:
            return self._problem
        missing = {"input_tokens", "output_tokens"} - self._counts.keys()
        if missing:
            return f"no {' and no '.join(sorted(missing))} was reported"
        found = self._found()
        if found.prompt_tokens == 0:
            return "0 prompt tokens were reported"
        if wrote and found.output_tokens == 0:
            return "0 output tokens were reported, but output was received"
        return self._too_much(found)

    def _found(self) -> TokenUsage:
        return modifiers.modified(TokenUsage(**self._counts), self._modifiers)

    def _too_much(self, found: TokenUsage) -> str:
        if found.output_tokens > self._most.output:
            return f"more output tokens than max_tokens ({self._most.output}) were reported"
        if found.prompt_tokens > self._most.prompt:
            return f"more prompt tokens than were sent (at most {self._most.prompt}) were reported"
        return ""
