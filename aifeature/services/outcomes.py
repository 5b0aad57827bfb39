"""How a run of a job can end, and the one write that makes each end true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aifeature.models import Status, transitions
from aifeature.models.transitions import Claimed, Settlement
from aifeature.services.messages import sentence


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer fits; the call that gave it is the one that is charged."""

    result: dict[str, Any]
    settlement: Settlement


@dataclass(frozen=True, slots=True)
class Failed:
    """The job ends without a result. `code` names the sentence the user reads."""

    code: str
    settlement: Settlement | None = None


@dataclass(frozen=True, slots=True)
class CancelledByUser:
    """The user, or our team, asked for it; the sentence was stored with the request."""

    settlement: Settlement | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """Back to the queue for some seconds; `burn` counts the run towards the cap of tries."""

    delay_s: float
    burn: bool
    code: str
    settlement: Settlement | None = None


Outcome = Accepted | Failed | CancelledByUser | Later


def record(claimed: Claimed, outcome: Outcome) -> None:
    """Write the end of a run: one round trip, one transaction.

    Raises:
        FencedError: the job is no longer ours; nothing was written.
    """
    match outcome:
        case Accepted(result, settlement):
            transitions.finish(claimed, Status.SUCCEEDED, result=result, settlement=settlement)
        case Failed(code, settlement):
            transitions.finish(
                claimed,
                Status.FAILED,
                error_code=code,
                error_message=sentence(code),
                settlement=settlement,
            )
        case CancelledByUser(settlement):
            transitions.finish(
                claimed,
                Status.CANCELLED,
                error_code="cancelled",
                settlement=settlement,
            )
        case Later(delay_s, burn, code, settlement):
            transitions.release(
                claimed,
                delay_s=delay_s,
                burn=burn,
                error_code=code,
                error_message=sentence(code),
                settlement=settlement,
            )
