"""Sends messages in parallel: a channel that hangs does not delay the others."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from aifeature.models import AlertChannel
from aifeature.services.channels import services_by_apprise, webhooks
from aifeature.services.channels.messages import Message
from aifeature.services.channels.problems import SendError
from aifeature.services.channels.register import Opened

logger = logging.getLogger(__name__)

TOTAL_S: Final = 5.0
"""Seconds for all channels of one round. The worker has other tasks."""

TOO_LATE: Final = f"No answer within {TOTAL_S:g} seconds."

LONGEST: Final = 300
"""Characters of a problem."""

Send = Callable[[Opened, Message], None]

_busy: set[int] = set()
_busy_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Batch:
    """The messages of one channel, in order. The first failure ends the batch."""

    channel_id: int
    opened: Opened
    messages: Sequence[Message]


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one message. An empty problem means that it was accepted."""

    channel_id: int
    index: int
    problem: str = ""


def send(opened: Opened, message: Message) -> None:
    """Send one message once.

    Raises:
        SendError: It was not accepted.
    """
    if opened.kind == AlertChannel.Kind.WEBHOOK:
        webhooks.send(opened.address, opened.secret, message, at=datetime.now(UTC))
    else:
        services_by_apprise.send(opened.address, message)


def busy() -> set[int]:
    """Return the channels to which a thread of this process still sends, beyond its time."""
    with _busy_lock:
        return set(_busy)


def send_all(
    batches: Sequence[Batch], *, using: Send = send, total_s: float = TOTAL_S
) -> list[Result]:
    """Send all batches at the same time. Return the outcome of each message that was tried.

    A message without an answer in time has failed. Its thread ends by the time-outs of its
    connection; until then its channel is `busy`.
    """
    results: queue.SimpleQueue[Result | None] = queue.SimpleQueue()
    deadline = time.monotonic() + total_s
    for batch in batches:
        with _busy_lock:
            _busy.add(batch.channel_id)
        threading.Thread(
            target=_run, args=(batch, using, deadline, results), name="alerts", daemon=True
        ).start()
    found: list[Result] = []
    running = len(batches)
    while running and (left := deadline - time.monotonic()) > 0:
        try:
            result = results.get(timeout=left)
        except queue.Empty:
            break
        if result is None:
            running -= 1
        else:
            found.append(result)
    return [*found, *_hanging(batches, found)] if running else found


def _hanging(batches: Sequence[Batch], found: Sequence[Result]) -> list[Result]:
    """Return a failure for the message that each unfinished channel is sending."""
    late = []
    for batch in batches:
        own = [result for result in found if result.channel_id == batch.channel_id]
        if len(own) < len(batch.messages) and not any(result.problem for result in own):
            late.append(Result(batch.channel_id, len(own), TOO_LATE))
    return late


def _run(
    batch: Batch, using: Send, deadline: float, results: queue.SimpleQueue[Result | None]
) -> None:
    try:
        for index, message in enumerate(batch.messages):
            if time.monotonic() >= deadline:
                break
            problem = problem_of(using, batch.opened, message)
            results.put(Result(batch.channel_id, index, problem))
            if problem:
                break
    finally:
        with _busy_lock:
            _busy.discard(batch.channel_id)
        results.put(None)


def problem_of(using: Send, opened: Opened, message: Message) -> str:
    """Send one message. Return the problem, or an empty text."""
    try:
        using(opened, message)
    except SendError as error:
        return _clean(str(error), opened)
    except BaseException as error:  # noqa: BLE001 (a library may raise anything, even an exit)
        logger.warning("alerts: sending to a channel failed with %s", type(error).__name__)
        return f"Sending failed ({type(error).__name__})."
    return ""


def _clean(problem: str, opened: Opened) -> str:
    """Return a problem without the address and the secret, which a library may have put into it."""
    for secret in (opened.address, opened.secret):
        if secret:
            problem = problem.replace(secret, "****")
    return problem[:LONGEST]
