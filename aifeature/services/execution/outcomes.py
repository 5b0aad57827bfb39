"""The possible outcomes of a run, and the transaction that stores each of them."""

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
"""Seconds between two attempts to store an outcome."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer is valid. Its call is charged."""

    result: dict[str, Any]
    settlement: Settlement


@dataclass(frozen=True, slots=True)
class Degraded:
    """The provider is down, and the feature answered without a model. No call is charged."""

    result: dict[str, Any]
    settlement: Settlement | None = None


@dataclass(frozen=True, slots=True)
class AwaitsApproval:
    """The answer is valid, and a person must decide about it. No call is charged meanwhile."""

    result: dict[str, Any]
    reason: str
    """For operators and reviewers."""
    expires_s: float
    """Seconds after which the job fails."""
    settlement: Settlement


@dataclass(frozen=True, slots=True)
class Failed:
    """The job ends without a result. `code` selects the message for the user."""

    code: FailureCode
    settlement: Settlement | None = None


@dataclass(frozen=True, slots=True)
class Withheld:
    """A guard found the answer unsafe. The job fails with the feature's own sentence."""

    sentence: str
    settlement: Settlement


@dataclass(frozen=True, slots=True)
class CancelledByUser:
    """The user or our team cancelled the job. The message was stored with the cancellation."""

    settlement: Settlement | None = None
    shown: str = ""
    """Text shown by a call before the last one. It is kept and not charged."""


@dataclass(frozen=True, slots=True)
class Requeue:
    """The job returns to the queue for `delay_s` seconds."""

    delay_s: float
    counts_as_try: bool
    reason: WaitReason
    settlement: Settlement | None = None
    shown: str = ""
    """As in `CancelledByUser`: if the job was cancelled at this moment, it ends instead."""


Outcome = Accepted | Degraded | AwaitsApproval | Failed | Withheld | CancelledByUser | Requeue


class UnstorableError(Exception):
    """The end of a call cannot be stored, so its job must not continue."""

    def __init__(self, settlement: Settlement) -> None:
        super().__init__(f"the end of call {settlement.attempt} cannot be stored")
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
    """Store the outcome of a run in one transaction.

    The answer is already paid for, so outages are waited out (`until_stored`). Storing twice is
    safe: the second write finds the job ended. If the database refuses the data, the job ends with
    less and less content from the provider, so that the call is not made and paid for again.

    Raises:
        FencedError: the job belongs to another run; nothing was written.
        django.db.Error: the database stayed unavailable or locked, or it refuses all variants.
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

    what = f"job {claimed.job}: outcome"
    refused = store(outcome)
    if refused is None:
        return
    for end in _reduced(outcome, brief(refused)):
        if (refused := store(end)) is None:
            return
    raise refused


def refusal(write: Callable[[], object], what: str) -> Exception | None:
    """Return the error with which the database refuses the data; None: the data was stored.

    Raises:
        FencedError: the job belongs to another run.
        django.db.Error: the database stayed unavailable or locked.
    """
    try:
        write()
    except FencedError:
        raise
    except Exception as error:
        if isinstance(error, DatabaseError | InterfaceError) and not is_refused(error):
            raise
        # Omit its text and traceback: they may quote the answer.
        logger.error("%s: refused by the database: %s", what, brief(error))  # noqa: TRY400
        return error
    return None


def _reduced(outcome: Outcome, why: str) -> Iterator[Outcome]:
    """Yield replacements for an outcome that cannot be stored, each with less content."""
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
        case Withheld():
            return Failed(FailureCode.ANSWER_UNSAFE, settlement)
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
    """Call `write` until it succeeds. It must be safe to call twice.

    Give up when the database has been unavailable, or has refused writes, for `for_s` seconds.
    While only a lock blocks the write, try for `locked_for_s` seconds if that is longer: no other
    worker takes over a run of a live process meanwhile.

    Raises:
        django.db.Error: the database stayed unavailable or locked. Other errors pass through.
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
            logger.warning("%s: not stored yet, trying again: %s", what, brief(error))
            sleep(RETRY_S)
        else:
            return


def _write(claimed: Claimed, outcome: Outcome) -> None:
    match outcome:
        case Accepted(result, settlement):
            transitions.finish(claimed, Status.SUCCEEDED, result=result, settlement=settlement)
        case Degraded(result, settlement):
            transitions.finish_plain(claimed, result, settlement=settlement)
        case AwaitsApproval(result, reason, expires_s, settlement):
            transitions.await_approval(
                claimed, result, reason=reason, expires_s=expires_s, settlement=settlement
            )
        case Failed(code, settlement):
            transitions.finish(
                claimed,
                Status.FAILED,
                error_code=code,
                error_message=FAILED[code],
                settlement=settlement,
            )
        case Withheld(sentence, settlement):
            transitions.finish(
                claimed,
                Status.FAILED,
                error_code=FailureCode.ANSWER_UNSAFE,
                error_message=sentence,
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
