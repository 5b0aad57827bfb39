"""Makes provider calls that belong to no job: an eval, a judge, a proof of concept.

They pay into the one ledger with their purpose, fit in the caps of their feature and of everything,
and are stopped by the same switches, so that no way to the provider leads past them.
"""

from __future__ import annotations

import logging
import threading
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseError

from aifeature.models import calls
from aifeature.prompts import Prompt
from aifeature.services import control, lease, ledger
from aifeature.services.wiring import gateway
from aifeature.spec import Feature, Purpose
from workers.inference import Cancel, InferenceError, InferenceRequest, InferenceResult

logger = logging.getLogger(__name__)


class CallKeeper:
    """Aborts the calls of this process that a switch stops; safe for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[UUID, Cancel] = {}
        self._work = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, attempt: UUID, cancel: Cancel) -> None:
        """This call is about to be sent."""
        with self._lock:
            self._held[attempt] = cancel
            self._work.set()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="call-keeper", daemon=True)
                self._thread.start()

    def remove(self, attempt: UUID) -> None:
        """This call has ended."""
        with self._lock:
            self._held.pop(attempt, None)
            if not self._held:
                self._work.clear()

    def beat(self) -> None:
        """One look at the database for all calls."""
        with self._lock:
            held = dict(self._held)
        for attempt in calls.stopped(list(held)) if held else ():
            held[attempt].cancel(lease.PAUSED)

    def _run(self) -> None:
        idle = threading.Event()
        while True:
            self._work.wait()
            try:
                self.beat()
            except DatabaseError as error:
                logger.warning("the switches of %d calls were not read: %s", len(self._held), error)
            idle.wait(lease.BEAT_S)


keeper: Final = CallKeeper()


def call(
    feature: Feature,
    request: InferenceRequest,
    *,
    purpose: Purpose,
    prompt: Prompt,
    cancel: Cancel | None = None,
) -> InferenceResult:
    """Make one provider call, paid by the feature's budget and charged to nobody.

    Args:
        feature: Whose budget pays and whose switch stops it.
        request: What is sent; its `attempt_id` names it in the ledger.
        purpose: Why; CHUNK, MODERATION, JUDGE, POC or EVAL.
        prompt: What it was made from.
        cancel: Ends it from another thread.

    Raises:
        Deferred: the gate lets nothing be sent now; it says when. Nothing was entered.
        AttemptRefusedError: paused, budget_spent or budget_held. Nothing was sent.
        InferenceError: what went wrong; it stands in the ledger.
        django.db.Error: the database is away; a call that was sent becomes `unknown`.
    """
    cancel = cancel or Cancel()
    attempt = ledger.opened(
        request,
        purpose=purpose,
        prompt=prompt,
        provider=settings.AIFEATURE["PROVIDER"],
        bound_micro=gateway().upper_bound_micro(request),
    )
    permit = gateway().admit(request, user=None, booked=False)
    try:
        calls.begin(feature.slug, attempt, control.caps(feature))
    except BaseException:
        permit.give_back()
        raise
    keeper.add(attempt.id, cancel)
    try:
        result = gateway().infer(request, cancel=cancel, permit=permit)
    except InferenceError as error:
        calls.settle(ledger.failed(request, error))
        raise
    finally:
        keeper.remove(attempt.id)
    calls.settle(ledger.answered(request, result))
    return result
