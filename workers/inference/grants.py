"""A call's request to the rate gates, and the grant that it holds once it is admitted."""

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
    """The bucket from which a call takes its user's tokens."""

    key: str
    per_minute: Decimal | int
    """Rate above zero. It may be a fraction and may change between calls."""


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """A call that has not been admitted yet."""

    model: str
    amounts: Amounts
    """The call's bounds."""

    user: UserTokens | None
    user_cost: int
    """Microseconds; 0 without a user."""

    booked: bool
    """The call was deferred before and retries at its booked time."""

    use_breaker: bool
    """False while an operator forces the breaker closed."""

    lease: str
    """Id of its probe or trial call, if it becomes one."""

    fallback: bool = False
    """The breaker of the previous model in the route is open."""

    held_open: bool = False
    """An operator forces the breaker open."""


@dataclass(frozen=True, slots=True)
class SharedGrant:
    """The amounts that the shared gates took for a call."""

    request: AdmissionRequest
    since: str
    """Start of the breaker state that admitted the call."""

    levels: tuple[Level | None, ...]
    """For each limit the cost (as `wait`) and the debt after it. None: the limit is unknown."""

    trial: bool = False
    """It is a trial call: the gates need a report when its answer begins."""


@dataclass(frozen=True, slots=True)
class LocalGrant:
    """The amounts that this process's own gates took for a call while Redis was unavailable."""

    request: AdmissionRequest
    decision: BreakerDecision | None
    costs: tuple[tuple[str, int], ...]

    @property
    def trial(self) -> bool:
        """See `SharedGrant`."""
        return self.decision is not None and self.decision.way == "trial"


@dataclass(frozen=True, slots=True)
class CallEnd:
    """The end of a call."""

    used: Amounts
    user_tokens: int
    """The user's tokens that stay taken."""

    measured: bool
    """`used` was counted by the provider, not assumed."""

    outcome: str
    """A digit for the breaker, '' for no verdict."""

    rate_limits: Mapping[str, str] = field(default_factory=dict)
    refused: bool = False
    """The provider refused the call because of a limit."""

    block_s: float = 0.0
    """Seconds of the provider's retry-after."""


class OpenAdmission:
    """Admission without a gate: it holds nothing."""

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
