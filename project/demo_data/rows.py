"""The requests, calls and opinions that are generated, before they are rows of a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from workers.inference import TokenUsage


@dataclass(slots=True)
class Person:
    """A synthetic user."""

    pk: int
    name: str
    weight: float
    """Their number of requests, compared with others."""


@dataclass(slots=True)
class Call:
    """A provider call of a request."""

    id: UUID
    purpose: str
    state: str
    model: str
    reason: str
    began: datetime
    ended: datetime
    usage: TokenUsage = field(default_factory=TokenUsage)
    cost_micro: int = 0
    saved_micro: int = 0
    bound_micro: int = 0
    ttft_ms: int | None = None
    stop_reason: str = ""
    error_code: str = ""


@dataclass(slots=True)
class Request:
    """A request of a user, with its end."""

    id: UUID
    user: Person
    feature: str
    version: str
    created: datetime
    started: datetime | None
    finished: datetime | None
    status: str
    input: dict[str, Any]
    result: dict[str, Any] | None = None
    error_code: str = ""
    calls: list[Call] = field(default_factory=list)
    degraded: bool = False
    cancelled_by: str = ""
    approval_reason: str = ""
    arm: str = ""
    """In a canary: `candidate` or `live`."""

    @property
    def accepted(self) -> Call | None:
        """The call whose answer the user has."""
        has_answer = self.result is not None and not self.degraded
        return self.calls[-1] if has_answer and self.calls else None


@dataclass(slots=True)
class Opinion:
    """A user's rating of an answer."""

    request: Request
    rating: int
    reasons: list[str]
    comment: str
    at: datetime


@dataclass(slots=True)
class Finding:
    """An event of a guard."""

    request: Request
    at: datetime
    stage: str
    guard: str
    category: str
    action: str
    evidence: str
