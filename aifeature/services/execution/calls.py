"""Makes provider calls that belong to no job: an eval, a judge, a proof of concept, a probe.

They pay into the one ledger with their purpose, fit in the caps of their feature and of everything,
and are stopped by the same switches, so that no way to the provider leads past them.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final
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
    AnswerUnusable,
    Cancel,
    Cancelled,
    Deferred,
    InferenceError,
    InferenceRequest,
    InferenceResult,
    Message,
    TextBlock,
)
from workers.inference.admission import OpenPermit, UserTokens
from workers.inference.types import Permit

logger = logging.getLogger(__name__)

PROBE_S: Final = 10.0
"""Seconds a probe may take; a thread of a job is held no longer by it."""

PROBE: Final = (Message("user", (TextBlock("Reply with OK."),)),)
"""The whole prompt of a probe."""


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
        purpose: Why; any but those of a job's calls and PROBE.
        prompt: What it was made from.
        cancel: Ends it from another thread.

    Raises:
        Deferred: the gate lets nothing be sent now; it says when. Nothing was entered.
        AttemptRefusedError: paused, budget_spent or budget_held. Nothing was sent.
        InferenceError: what went wrong; it stands in the ledger.
        django.db.Error: the database stayed away; a call that was sent becomes `unknown`.
    """
    cancel = cancel or Cancel()
    attempt = ledger.opened(
        request,
        purpose=purpose,
        prompt=prompt,
        provider=settings.AIFEATURE["PROVIDER"],
        bound_micro=gateway().upper_bound_micro(request),
    )
    permit = admit(feature, request, user=None, booked=False, cancel=cancel)
    try:
        return _send(feature, request, attempt, cancel, permit)
    except InferenceError as error:
        if error.account_wide:
            suspect(feature, request.model, error, cancel)
        raise


def suspect(feature: Feature, model: str, error: InferenceError, cancel: Cancel) -> account.Finding:
    """Find out by a probe whether an error that may be account-wide is so.

    Args:
        feature: Whose budget pays for the probe.
        model: To which the call went.
        error: Of the call, which is settled; its `account_wide` is true.
        cancel: Ends the probe from another thread.

    Raises:
        Cancelled: `cancel` was used during the probe.
    """
    return account.suspect(
        error, model, models=gateway().known_models(), probe=_prober(feature, cancel)
    )


def _prober(feature: Feature, cancel: Cancel) -> account.Probe:
    """Probes of the account pass no gate: they are tiny, and one is sent at a time."""
    return lambda model: _probe(feature, model, OpenPermit(), cancel)


def admit(
    feature: Feature,
    request: InferenceRequest,
    *,
    user: UserTokens | None,
    booked: bool,
    cancel: Cancel,
    fallback: bool = False,
) -> Permit:
    """Ask the gate for leave to send a call, after a probe if the account or a breaker needs one.

    A probe is a tiny call of no job. It is paid by the feature and takes up to PROBE_S seconds; the
    account can need one of each model.

    Args:
        feature: Whose budget pays for the probe, and whose switch stops it.
        request: The call, as it would be sent.
        user: Whose tokens it takes; None for calls of nobody.
        booked: It was deferred before and comes back at its time.
        cancel: Ends the probe from another thread.
        fallback: The breaker of the model before it in the route is open.

    Raises:
        Deferred: nothing may be sent now; it says when.
        Cancelled: `cancel` was used during the probe. Of the call itself nothing was sent.
    """
    models = gateway().known_models()
    account.admit(request.model, models=models, probe=_prober(feature, cancel))

    def ask() -> Permit:
        return gateway().admit(request, user=user, booked=booked, fallback=fallback)

    try:
        return ask()
    except Deferred as deferred:
        if deferred.probe is None:
            raise
        _probe(feature, request.model, deferred.probe, cancel)
    try:
        return ask()
    except Deferred as deferred:
        if deferred.probe is not None:
            deferred.probe.give_back()  # one is enough: the thread is needed
        raise


def _probe(
    feature: Feature, model: str, permit: Permit, cancel: Cancel
) -> InferenceError | AttemptRefusedError | None:
    """Send a probe. Returns its error, None if it was answered.

    Its end is in the ledger, and its permit has it.

    Raises:
        Cancelled: `cancel` was used meanwhile.
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
    attempt = NewAttempt(
        id=request.attempt_id,
        purpose=Purpose.PROBE,
        provider=settings.AIFEATURE["PROVIDER"],
        model=model,
        prompt_version="",
        prompt_hash="",
        request=ledger.as_sent(request),
        bound_micro=gateway().upper_bound_micro(request),
    )
    try:
        _send(feature, request, attempt, cancel, permit)
    except Cancelled as error:
        if cancel.reason is not None:
            raise
        return error
    except (InferenceError, AttemptRefusedError) as error:
        logger.info("probe of %s: %s", model, getattr(error, "code", error))
        return error
    logger.info("probe of %s: answered", model)
    return None


def _send(
    feature: Feature,
    request: InferenceRequest,
    attempt: NewAttempt,
    cancel: Cancel,
    permit: Permit,
) -> InferenceResult:
    """Enter a call of no job into the ledger, send it and settle it."""
    try:
        calls.begin(feature.slug, attempt, controls.caps(feature))
    except BaseException:
        permit.give_back()
        raise
    try:
        with lease.keeper.hold_call(feature.slug, cancel):
            result = gateway().infer(request, cancel=cancel, permit=permit)
    except InferenceError as error:
        odd_answers.note(request.model, error)
        settlement = ledger.failed(request, error)
        if attempt.purpose is Purpose.PROBE and isinstance(error, AnswerUnusable):
            # One token is all it may write: an answer that was cut there is as it should be.
            settlement = replace(settlement, error_code="", error_detail="")
        _settle(settlement)
        raise
    odd_answers.note(request.model, result)
    _settle(ledger.answered(request, result))
    return result


def _settle(settlement: Settlement) -> None:
    """Store how a call ended; what the database refuses, without the content it came with."""
    what, for_s = f"call {settlement.attempt}", settings.AIFEATURE["LEASE_S"]

    def store(end: Settlement) -> None:
        outcomes.until_stored(lambda: calls.settle(end), what, for_s=for_s)

    if (refused := outcomes.refusal(lambda: store(settlement), what)) is not None:
        store(ledger.unseen(settlement, brief(refused)))
