"""Every provider call: ask the gate, reserve the bound, send, settle.

A call of a job and a call of no job (an eval, a judge, a proof of concept, a probe) take the same
path. They differ in their payer: where the bound is reserved, who can stop the call, and when its
end is stored. All of them are rows of one ledger, fit in the same caps and obey the same switches.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol
from uuid import uuid4

from django.conf import settings

from aifeature.models import calls
from aifeature.models.functions import brief
from aifeature.models.transitions import AttemptRefusedError, NewAttempt, Settlement
from aifeature.prompts import Prompt
from aifeature.services import controls
from aifeature.services.execution import lease, ledger, outcomes
from aifeature.services.provider import account, gateway, odd_answers
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
"""Seconds a probe may take; a thread of a job is held no longer by it."""

PROBE: Final = (Message("user", (TextBlock("Reply with OK."),)),)
"""The whole prompt of a probe."""


class Ended(NamedTuple):
    """A call that was sent."""

    answer: InferenceResult | InferenceError
    settlement: Settlement
    """Its end, as the ledger keeps it."""


class Payer(Protocol):
    """Who pays for a call: a job, or a feature alone."""

    @property
    def feature(self) -> Feature:
        """Its budget pays and its kill switch stops the call."""

    @property
    def cancel(self) -> Cancel:
        """Ends the call, or a probe before it, from another thread."""

    @property
    def is_booked(self) -> bool:
        """Whether the gate deferred the call before, and it comes back at its time."""

    def tokens(self) -> UserTokens | None:
        """The user whose tokens per minute the call takes; None for calls of no user."""

    def reserve(self, attempt: NewAttempt) -> None:
        """Enter the call into the ledger with its bound; it is sent only if this returns.

        Raises:
            AttemptRefusedError: a cap, a switch or a deadline is in the way.
            FencedError: the job belongs to another worker now.
            django.db.Error: the database is away, or takes no writes.
        """

    def deadline_s(self, request: InferenceRequest) -> float:
        """Seconds that the call may take, from now on."""

    def watched(self) -> AbstractContextManager[None]:
        """A context in which the keeper uses `cancel` when the call must stop."""

    def sink(self) -> Callable[[str], None] | None:
        """What takes the text while it grows, if anybody reads it."""

    def settle(self, settlement: Settlement) -> None:
        """Store how the call ended. A job does so with its next transition instead."""


@dataclass(frozen=True, slots=True)
class FeaturePayer:
    """Pays for calls of no job; the end of each is stored at once."""

    feature: Feature
    cancel: Cancel
    is_booked: bool = False

    def tokens(self) -> UserTokens | None:
        """Nobody's."""
        return None

    def reserve(self, attempt: NewAttempt) -> None:
        """Within the caps of the feature and of everything."""
        calls.begin(self.feature.slug, attempt, controls.caps(self.feature))

    def deadline_s(self, request: InferenceRequest) -> float:
        """As long as was asked for."""
        return request.deadline_s

    def watched(self) -> AbstractContextManager[None]:
        """A switch stops the call."""
        return lease.keeper.hold_call(self.feature.slug, self.cancel)

    def sink(self) -> Callable[[str], None] | None:
        """Nobody reads along."""
        return None

    def settle(self, settlement: Settlement) -> None:
        """Store it; what the database refuses is stored without its content."""
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
    permit: Admission | None = None,
    is_fallback: bool = False,
) -> Ended:
    """Make one provider call. Every call of the product goes through here.

    Args:
        request: What is sent; its `attempt_id` names it in the ledger.
        payer: Whose call it is.
        purpose: Why it is made.
        prompt: What the request was made from; None for probes.
        permit: The gate's leave, if it was given already.
        is_fallback: The breaker of the model before it in the route is open.

    Returns:
        The answer or what went wrong, and how the payer settles it.

    Raises:
        Cancelled: during a probe before the call. Of the call itself nothing was sent.
        Deferred: the gate lets nothing be sent now; it says when.
        AttemptRefusedError, FencedError, django.db.Error: see `Payer.reserve`. Nothing was sent.
        InferenceError: the model has no price, or its schema cannot be sent. Nothing was sent.
    """
    attempt = ledger.opened(request, purpose=purpose, prompt=prompt)
    if permit is None:
        permit = admit(request, payer, is_fallback=is_fallback)
    try:
        payer.reserve(attempt)
    except BaseException:
        permit.give_back()
        raise
    # A probe, and a database that takes no writes, may have taken a while.
    request = replace(request, deadline_s=payer.deadline_s(request))
    answer: InferenceResult | InferenceError
    try:
        with payer.watched():
            answer = gateway().infer(
                request, cancel=payer.cancel, on_delta=payer.sink(), permit=permit
            )
    except InferenceError as error:
        answer = error
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
    """Make a call of no job, paid by the feature's budget and charged to nobody.

    Args:
        feature: Whose budget pays and whose switch stops it.
        request: As in `make`.
        purpose: Why; any but those of a job's calls and PROBE.
        prompt: What the request was made from.
        cancel: Ends it from another thread.

    Raises:
        Deferred: the gate lets nothing be sent now; it says when. Nothing was entered.
        AttemptRefusedError: paused, budget_spent or budget_held. Nothing was sent.
        InferenceError: what went wrong; it is in the ledger.
        django.db.Error: the database stayed away; a call that was sent becomes `unknown`.
    """
    payer = FeaturePayer(feature, cancel or Cancel())
    answer, _ = make(request, payer, purpose=purpose, prompt=prompt)
    if isinstance(answer, InferenceError):
        if answer.account_wide:
            suspect(payer, request.model, answer)
        raise answer
    return answer


def admit(request: InferenceRequest, payer: Payer, *, is_fallback: bool) -> Admission:
    """Ask the gate for leave to send a call, after a probe if the account or a breaker needs one.

    A probe is a tiny call of no job. It is paid by the feature and takes up to PROBE_S seconds; the
    account can need one of each model.

    Raises:
        Deferred: nothing may be sent now; it says when.
        Cancelled: during the probe. Of the call itself nothing was sent.
    """
    models = gateway().known_models()
    account.admit(request.model, models=models, probe=_prober(payer))

    def ask() -> Admission:
        return gateway().admit(
            request, user=payer.tokens(), booked=payer.is_booked, fallback=is_fallback
        )

    try:
        return ask()
    except Deferred as deferred:
        if deferred.probe is None:
            raise
        _probe(payer, request.model, deferred.probe)
    try:
        return ask()
    except Deferred as deferred:
        if deferred.probe is not None:
            deferred.probe.give_back()  # one is enough: the thread is needed
        raise


def suspect(payer: Payer, model: str, error: InferenceError) -> account.Finding:
    """Find out by a probe whether an error that may be account-wide is so.

    Args:
        payer: Of the call; its feature pays for the probe.
        model: To which the call went.
        error: Of the call, which is settled; its `account_wide` is true.

    Raises:
        Cancelled: during the probe.
    """
    return account.suspect(error, model, models=gateway().known_models(), probe=_prober(payer))


def _prober(payer: Payer) -> account.Probe:
    """Probes of the account pass no gate: they are tiny, and one is sent at a time."""
    return lambda model: _probe(payer, model, OpenAdmission())


def _probe(
    payer: Payer, model: str, permit: Admission
) -> InferenceError | AttemptRefusedError | None:
    """Send a probe. Returns its error, None if it was answered.

    Its end is in the ledger, and its permit has it.

    Raises:
        Cancelled: by somebody else than the probe's own deadline.
    """
    request = InferenceRequest(
        attempt_id=uuid4(),
        model=model,
        system=(),
        messages=PROBE,
        max_tokens=1,
        stream=True,  # as the calls it stands for
        deadline_s=PROBE_S,
    )
    prober = FeaturePayer(payer.feature, payer.cancel)
    error: InferenceError | AttemptRefusedError
    try:
        answer, _ = make(request, prober, purpose=Purpose.PROBE, prompt=None, permit=permit)
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
