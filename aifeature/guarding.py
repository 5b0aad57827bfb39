"""Findings and time limits of guards. Pure, and below all users of guards."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_EVIDENCE: Final = 300
"""Most characters of a finding's evidence."""


class Guard(StrEnum):
    """A guard, named by its subject."""

    HIDDEN_CHARACTERS = "hidden_characters"
    PERSONAL_DATA = "personal_data"
    INJECTION = "injection"
    FOUL_LANGUAGE = "foul_language"
    LEAK = "leak"
    """The leak canary, or the marker of a fence, in an answer."""
    LINKS = "links"
    ANSWER = "answer"
    """An answer that is refused, off topic or in a wrong language."""
    MODERATION = "moderation"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a guard found."""

    guard: Guard
    category: str
    """Its kind, such as `email`, `override` or `violence`. At most 40 characters."""
    evidence: str = ""
    """Words in which it was found, with personal data replaced, at most MAX_EVIDENCE characters."""
    count: int = 1


class GuardTimeoutError(Exception):
    """A guard took too long."""

    text_is_ours = True


class TimeLimit:
    """The time of a guard, checked between two pieces of text. Each piece is short.

    It is the processor time of the thread, since others may use the processor meanwhile.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.thread_time) -> None:
        self._seconds, self._clock = seconds, clock
        self._ends = clock() + seconds

    def check(self) -> None:
        """Raise GuardTimeoutError if the time is over."""
        if self._clock() > self._ends:
            raise GuardTimeoutError(f"not ready after {self._seconds:g} s")
