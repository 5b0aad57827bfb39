"""How a run of a job can end, and the one write that makes each end true."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from django.db import DatabaseError, InterfaceError

from aifeature.models import Status, transitions
from aifeature.models.functions import brief, is_lock_timeout, is_refused
from aifeature.models.transitions import Claimed, FencedError, Settlement
from aifeature.reasons import FailureCode, WaitReason
from aifeature.services.execution import ledger
from aifeature.services.texts import FAILED, WAITING

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

    code: FailureCode
    settlement: Settlement | None = None


@dataclass(frozen=True, slots=True)
class CancelledByUser:
    """The user, or our team, asked for it; the sentence was stored with the request."""

    settlement: Settlement | None = None
    shown: str = ""
    """What the user had been shown by a call before the last one; kept and not charged."""


@dataclass(frozen=True, slots=True)
class Requeue:
    """Back to the queue for some seconds; with `counts_as_try` the run counts as a try."""

    delay_s: float
    counts_as_try: bool
    reason: WaitReason
    settlement: Settlement | None = None
    shown: str = ""
    """The same, for a job that was cancelled at this moment: it ends instead."""


Outcome = Accepted | Failed | CancelledByUser | Requeue


class UnstorableError(Exception):
    """The end of this call cannot be stored, and its job must not go on without it."""

    def __init__(self, settlement: Settlement) -> None:
        super().__init__(f"call {settlement.attempt}")
        self.settlement = settlement


def record(
    claimed: Claimed,
    outcome: Outcome,
    *,
    for_s: float,
    locked_for_s: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Write the end of a run: one round trip, one transaction.

    The answer is paid for, so what keeps it from being stored is waited out (`until_stored`).
    Writing it twice does no harm: the second finds the job ended. An end that the database refuses
    is no outage: the job ends all the same, with less and less of what came from the provider, so
    that the call is not made and paid for again.

    Raises:
        FencedError: the job is no longer ours; nothing was written.
        django.db.Error: the database stayed away, or the lock stayed, or nothing can be stored.
    """

    def store(end: Outcome) -> Exception | None:
        return refusal(
            partial(
                until_stored,
                partial(_write, claimed, end),
                what,
                for_s=for_s,
                locked_for_s=locked_for_s,
                clock=clock,
                sleep=sleep,
            ),
            what,
        )

    what = f"job {claimed.job}: its end"
    refused = store(outcome)
    if refused is None:
        return
    for end in _lesser(outcome, brief(refused)):
        if (refused := store(end)) is None:
            return
    raise refused


def refusal(write: Callable[[], object], what: str) -> Exception | None:
    """Return the error with which a write is refused for what it holds; None: it was stored.

    Args:
        write: One transition.
        what: Is being stored; for the log.

    Raises:
        FencedError: the job is no longer ours.
        django.db.Error: the database stayed away, or a lock stayed.
    """
    try:
        write()
    except FencedError:
        raise
    except Exception as error:
        if isinstance(error, DatabaseError | InterfaceError) and not is_refused(error):
            raise
        # Without its text and trace: they may quote the answer.
        logger.error("%s was refused: %s", what, brief(error))  # noqa: TRY400
        return error
    return None


def _lesser(outcome: Outcome, why: str) -> Iterator[Outcome]:
    """What stands for the end of a run that cannot be stored, each with less content."""
    if outcome.settlement is not None:
        yield _without_result(outcome, ledger.without_content(outcome.settlement, why))
        yield _without_result(outcome, ledger.unseen(outcome.settlement, why))
    yield _without_result(outcome, None)


def _without_result(outcome: Outcome, settlement: Settlement | None) -> Outcome:
    match outcome:
        case CancelledByUser():
            return CancelledByUser(settlement)
        case Failed(code):
            return Failed(code, settlement)
        case _:
            return Failed(FailureCode.ANSWER_GARBLED, settlement)


def until_stored(
    write: Callable[[], object],
    what: str,
    *,
    for_s: float,
    locked_for_s: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Call `write`, which does no harm when it is called twice, until it succeeds.

    Args:
        write: One transition.
        what: Is being stored; for the log.
        for_s: Seconds for which the database may be away, or take no writes.
        locked_for_s: Seconds, if that is more, for which a lock may be in the way while the
            database answers: meanwhile nobody takes over a run of a process that lives. Nothing is
            tried for longer than the longer of the two.
        clock: Seconds that never go back.
        sleep: Waits.

    Raises:
        django.db.Error: the database stayed away, or the lock stayed; and what else `write` raises.
    """
    began = answered = clock()
    while True:
        try:
            write()
        except (DatabaseError, InterfaceError) as error:
            if is_refused(error):
                raise
            now = clock()
            if is_lock_timeout(error):
                answered = now
            if now - answered >= for_s or now - began >= max(for_s, locked_for_s):
                raise
            logger.warning("%s is not stored yet: %s", what, brief(error))
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
                error_message=FAILED[code],
                settlement=settlement,
            )
        case CancelledByUser(settlement, shown):
            transitions.finish(
                claimed,
                Status.CANCELLED,
                error_code=FailureCode.CANCELLED,
                settlement=settlement,
                shown=shown,
            )
        case Requeue(delay_s, counts_as_try, reason, settlement, shown):
            transitions.return_to_queue(
                claimed,
                delay_s=delay_s,
                counts_as_try=counts_as_try,
                reason=reason,
                message=WAITING[reason],
                settlement=settlement,
                shown=shown,
            )
