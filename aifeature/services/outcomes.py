"""How a run of a job can end, and the one write that makes each end true."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.db import InterfaceError, OperationalError

from aifeature.models import Status, transitions
from aifeature.models.transitions import Claimed, Settlement
from aifeature.services.messages import sentence

logger = logging.getLogger(__name__)

RETRY_S: Final = 0.2
"""Seconds between two tries to store how a run ended."""


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


def record(
    claimed: Claimed,
    outcome: Outcome,
    *,
    for_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Write the end of a run: one round trip, one transaction.

    The answer is paid for, so an outage of the database is waited out for `for_s` seconds, as long
    as the lease may last without it. Writing it twice does no harm: the second finds the job ended.

    Raises:
        FencedError: the job is no longer ours; nothing was written.
        django.db.Error: the database stayed away.
    """
    give_up = clock() + for_s
    while True:
        try:
            _write(claimed, outcome)
        except (OperationalError, InterfaceError) as error:
            if clock() >= give_up:
                raise
            logger.warning("job %s: its end is not stored yet: %s", claimed.job, error)
            sleep(RETRY_S)
        else:
            return


def _write(claimed: Claimed, outcome: Outcome) -> None:
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
