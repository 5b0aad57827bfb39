"""The path of every provider call: pass the gate, reserve the bound, send, settle.

Calls without a job (evals, judges, proofs of concept, probes) take the same path as calls of a job,
with the same ledger, caps and kill switches. Only the payer differs: it decides where the bound is
reserved, who can stop the call, and when its end is stored.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol
from uuid import uuid4

from django.conf import settings

from aifeature import prompts, registry
from aifeature.models import calls
from aifeature.models.functions import brief
from aifeature.models.transitions import AttemptRefusedError, NewAttempt, Settlement
from aifeature.prompts import Prompt
from aifeature.services import controls
from aifeature.services.execution import ledger, outcomes, worker_context
from aifeature.services.execution.lease import LeaseKeeper
from aifeature.services.guards import outputs
from aifeature.services.provider import account, gate, gateway, odd_answers
from aifeature.spec import Feature, Purpose
from workers.inference import (
    Cancel,
    Cancelled,
    Deferred,
    InferenceError,
    InferenceRequest,
    InferenceResult,
    Message,
    TextBlock,
)
from workers.inference.grants import OpenAdmission, UserTokens
from workers.inference.types import Admission

logger = logging.getLogger(__name__)

PROBE_S: Final = 10.0
"""Deadline of a probe in seconds. Meanwhile it blocks the thread of a job."""

PROBE: Final = (Message("user", (TextBlock("Reply with OK."),)),)


class Ended(NamedTuple):
    """The end of a call that was sent."""

    answer: InferenceResult | InferenceError
    settlement: Settlement


class Payer(Protocol):
    """The payer of a call: a job, or a feature for calls without a job."""

    @property
    def feature(self) -> Feature:
        """The feature whose budget pays and whose kill switch stops the call."""

    @property
    def cancel(self) -> Cancel:
        """Aborts the call, or a probe before it, from another thread."""

    @property
    def keeper(self) -> LeaseKeeper:
        """Stops the payer's calls."""

    @property
    def is_booked(self) -> bool:
        """Whether the call was deferred before and returns at the time the gate assigned."""

    def tokens(self) -> UserTokens | None:
        """The bucket for the user's tokens per minute; None for calls without a user."""

    def reserve(self, attempt: NewAttempt) -> None:
        """Write the ledger row and reserve the bound. The call is sent only if this returns.

        Raises:
            AttemptRefusedError: a cap, a kill switch or a deadline forbids the call.
            FencedError: the job now belongs to another worker.
            django.db.Error: the database is unavailable or refuses writes.
        """

    def deadline_s(self, request: InferenceRequest) -> float:
        """Return the seconds that the call may take from now on."""

    def watched(self) -> AbstractContextManager[None]:
        """Return a context in which the keeper uses `cancel` when the call must stop."""

    def sink(self) -> Callable[[str], None] | None:
        """Return the function that receives text as it arrives; None: no text is shown."""

    def settle(self, settlement: Settlement) -> None:
        """Store how the call ended. A job leaves this to its next transition."""


@dataclass(frozen=True, slots=True)
class FeaturePayer:
    """Pays for calls without a job. Stores the end of each call immediately."""

    feature: Feature
    cancel: Cancel
    keeper: LeaseKeeper
    is_booked: bool = False

    def tokens(self) -> UserTokens | None:
        return None

    def reserve(self, attempt: NewAttempt) -> None:
        """Reserve within the caps of the feature and the global caps."""
        calls.begin(self.feature.slug, attempt, controls.caps(self.feature))

    def deadline_s(self, request: InferenceRequest) -> float:
        return request.deadline_s

    def watched(self) -> AbstractContextManager[None]:
        """Let a kill switch stop the call."""
        return self.keeper.hold_call(self.feature.slug, self.cancel)

    def sink(self) -> Callable[[str], None] | None:
        return None

    def settle(self, settlement: Settlement) -> None:
        """Store the settlement, without its content if the database refuses that."""
        what, for_s = f"call {settlement.attempt}", settings.AIFEATURE["LEASE_S"]

        def store(end: Settlement) -> None:
            outcomes.until_stored(lambda: calls.settle(end), what, for_s=for_s)

        if (refused := outcomes.refusal(lambda: store(settlement), what)) is not None:
            store(ledger.unseen(settlement, brief(refused)))


def make(
    request: InferenceRequest,
    payer: Payer,
    *,
    purpose: Purpose,
    prompt: Prompt | None,
    reason: str = "",
    admission: Admission | None = None,
    is_fallback: bool = False,
    clean: Callable[[str], str] = outputs.clean,
) -> Ended:
    """Make one provider call. All calls of this system go through this function.

    `reason` is the reason for this model. `admission` is the gate's, if it was already given.
    `is_fallback` means that the breaker of the previous model in the route is open. `clean` returns
    the text of an answer as it may be stored.

    Raises:
        Cancelled: during a probe before the call. The call was not sent.
        Deferred: the gate admits no call for `wait_s` seconds. The call was not sent.
        AttemptRefusedError, FencedError, django.db.Error: see `Payer.reserve`. Nothing was sent.
        InferenceError: the model has no price, or its schema cannot be sent. Nothing was sent.
    """
    if admission is None:
        admission = admit(request, payer, is_fallback=is_fallback)
    try:
        # After a probe: the bound covers the prices until the call's deadline, counted from now.
        attempt = ledger.opened(request, purpose=purpose, prompt=prompt, reason=reason)
        payer.reserve(attempt)
    except BaseException:
        admission.give_back()
        raise
    # A probe, or waiting until the database takes writes, may have used up some time.
    request = replace(request, deadline_s=payer.deadline_s(request))
    answer: InferenceResult | InferenceError
    try:
        with payer.watched():
            answer = gateway().infer(
                request,
                cancel=payer.cancel,
                on_delta=payer.sink() if request.stream else None,
                admission=admission,
            )
    except InferenceError as error:
        error.text = clean(error.text)
        answer = error
    else:
        answer = replace(answer, text=clean(answer.text))
    odd_answers.note(request.model, answer)
    settlement = ledger.ended(request, answer, purpose)
    payer.settle(settlement)
    return Ended(answer, settlement)


def call(
    feature: Feature,
    request: InferenceRequest,
    *,
    purpose: Purpose,
    prompt: Prompt,
    cancel: Cancel | None = None,
) -> InferenceResult:
    """Make a call without a job. The feature's budget pays; no user is charged.

    `purpose` is any except PROBE and those of a job's calls.

    Raises:
        Deferred: the gate admits no call for `wait_s` seconds. The ledger has no row.
        AttemptRefusedError: paused, budget_spent or budget_held. Nothing was sent.
        InferenceError: the call failed, which is in the ledger, or could not be sent (see `make`).
        django.db.Error: the database stayed unavailable. A call that was sent becomes `unknown`.
    """
    payer = FeaturePayer(feature, cancel or Cancel(), worker_context.current().keeper)
    answer, _ = make(request, payer, purpose=purpose, prompt=prompt)
    if isinstance(answer, InferenceError):
        if answer.account_wide:
            suspect(payer, request.model, answer)
        raise answer
    return answer


def admit(request: InferenceRequest, payer: Payer, *, is_fallback: bool) -> Admission:
    """Get the gate's admission for a call, after a probe if the account or a breaker needs one.

    The feature pays for a probe, which takes up to PROBE_S seconds. The account can need a probe of
    each model.

    Raises:
        Deferred: no call may be sent for `wait_s` seconds.
        Cancelled: during the probe. The call was not sent.
    """
    models = gateway().known_models()
    account.admit(request.model, models=models, probe=_prober(payer))

    def from_gate() -> Admission:
        return gateway().admit(
            request, user=payer.tokens(), booked=payer.is_booked, fallback=is_fallback
        )

    try:
        return from_gate()
    except Deferred as deferred:
        if deferred.probe is None:
            raise
        _probe(payer, request.model, deferred.probe)
    try:
        return from_gate()
    except Deferred as deferred:
        if deferred.probe is not None:
            deferred.probe.give_back()  # one probe per call: the thread is needed
        raise


def probe(model: str) -> None:
    """Send the probe that a model's breaker needs, if it is due and no other process sends it.

    The first feature that uses the model pays, or the next one if a cap or a switch forbids that.
    An internal feature pays only if no other one can.
    Does nothing in a process without an API key.
    """
    if not settings.AIFEATURE["API_KEY"]:
        return
    for feature in sorted(registry.all_features().values(), key=lambda each: each.internal):
        if model not in prompts.models(feature):
            continue
        payer = FeaturePayer(feature, Cancel(), worker_context.current().keeper)
        try:
            gate().admit(model=model, input_tokens=0, output_tokens=0).give_back()
        except Deferred as deferred:
            if deferred.probe is None:
                return
            try:
                result = _probe(payer, model, deferred.probe)
            except Cancelled:  # by the feature's switch, or because this process ends
                return
            if not isinstance(result, AttemptRefusedError):
                return
        else:
            return


def suspect(payer: Payer, model: str, error: InferenceError) -> account.Finding:
    """Check by a probe whether an error concerns the whole account. The feature pays for it.

    The call to `model` is settled, and `error.account_wide` is true. Raises Cancelled if the probe
    is cancelled.
    """
    return account.suspect(error, model, models=gateway().known_models(), probe=_prober(payer))


def _prober(payer: Payer) -> account.Probe:
    # Probes of the account need no gate: they are tiny, and only one is sent at a time.
    return lambda model: _probe(payer, model, OpenAdmission())


def _probe(
    payer: Payer, model: str, admission: Admission
) -> InferenceError | AttemptRefusedError | None:
    """Send a probe. Return its error, or None if it was answered.

    Its end is stored in the ledger and reported to its admission. Raises Cancelled if the payer
    cancels it.
    """
    request = InferenceRequest(
        attempt_id=uuid4(),
        model=model,
        system=(),
        messages=PROBE,
        max_tokens=1,
        stream=True,  # like the calls of jobs
        deadline_s=PROBE_S,
    )
    prober = FeaturePayer(payer.feature, payer.cancel, payer.keeper)
    error: InferenceError | AttemptRefusedError
    try:
        answer, _ = make(request, prober, purpose=Purpose.PROBE, prompt=None, admission=admission)
    except AttemptRefusedError as refused:
        error = refused
    else:
        if isinstance(answer, InferenceResult):
            logger.info("probe of %s: answered", model)
            return None
        if isinstance(answer, Cancelled) and payer.cancel.reason is not None:
            raise answer
        error = answer
    logger.info("probe of %s: %s", model, getattr(error, "code", error))
    return error
