"""What a call asks of the gates, and what it holds of them once it is let in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from workers.inference.provider_limits import Amounts
from workers.inference.types import DeltaSink, TokenUsage

if TYPE_CHECKING:
    from workers.inference.breaker import BreakerDecision
    from workers.inference.token_bucket import Level


@dataclass(frozen=True, slots=True)
class UserTokens:
    """Whose tokens a call takes."""

    key: str
    """Names the bucket, for example by feature and user."""

    per_minute: Decimal | int
    """Above zero; it may differ from the last time, and be a fraction."""


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """One call before it is let in."""

    model: str
    amounts: Amounts
    """At their bounds."""

    user: UserTokens | None
    user_cost: int
    """Microseconds; 0 without a user."""

    booked: bool
    """It was told to come back at this time."""

    use_breaker: bool
    """False while a person holds the breaker closed."""

    lease: str
    """Names its probe or its trial, if it becomes one."""

    fallback: bool = False
    """The breaker of the model before it in the route is open."""

    held_open: bool = False
    """A person holds the breaker open."""


@dataclass(frozen=True, slots=True)
class SharedGrant:
    """What the shared gates took for a call."""

    asked: AdmissionRequest
    since: str
    """The breaker's state it was let in by."""

    levels: tuple[Level | None, ...]
    """Of each limit the cost (as `wait`) and the debt after it; None: the limit is unknown."""

    trial: bool = False
    """It tries a model that failed a moment ago: the gates are told when its answer begins."""


@dataclass(frozen=True, slots=True)
class LocalGrant:
    """What the gates of this process took for a call while Redis was away."""

    asked: AdmissionRequest
    look: BreakerDecision | None
    costs: tuple[tuple[str, int], ...]

    @property
    def trial(self) -> bool:
        """As in `SharedGrant`."""
        return self.look is not None and self.look.way == "trial"


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended."""

    used: Amounts
    user_tokens: int
    """What of the user's tokens stays taken."""

    measured: bool
    """`used` is what the provider counted, not what was assumed."""

    outcome: str
    """A digit for the breaker, '' for no verdict."""

    rate_limits: Mapping[str, str] = field(default_factory=dict)
    refused: bool = False
    """By the provider, for a limit."""

    block_s: float = 0.0
    """Seconds the provider asked us to stay away."""


class OpenAdmission:
    """Where there is no gate: holds nothing."""

    def sink(self, on_delta: DeltaSink | None) -> DeltaSink | None:
        """See `Admission`."""
        return on_delta

    def give_back(self) -> None:
        """See `Admission`."""

    def succeeded(
        self, usage: TokenUsage | None, rate_limits: Mapping[str, str], latency_ms: int
    ) -> None:
        """See `Admission`."""

    def failed(self, error: BaseException) -> None:
        """See `Admission`."""
