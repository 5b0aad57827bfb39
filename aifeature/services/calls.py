"""Makes provider calls that belong to no job: an eval, a judge, a proof of concept.

They pay into the one ledger with their purpose, fit in the caps of their feature and of everything,
and are stopped by the same switches, so that no way to the provider leads past them.
"""

from __future__ import annotations

from django.conf import settings

from aifeature.models import calls
from aifeature.models.transitions import Settlement
from aifeature.prompts import Prompt
from aifeature.services import control, lease, ledger, outcomes
from aifeature.services.wiring import gateway
from aifeature.spec import Feature, Purpose
from workers.inference import Cancel, InferenceError, InferenceRequest, InferenceResult


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
    permit = gateway().admit(request, user=None, booked=False)
    try:
        calls.begin(feature.slug, attempt, control.caps(feature))
    except BaseException:
        permit.give_back()
        raise
    try:
        with lease.keeper.hold_call(feature.slug, cancel):
            result = gateway().infer(request, cancel=cancel, permit=permit)
    except InferenceError as error:
        _settle(ledger.failed(request, error))
        raise
    _settle(ledger.answered(request, result))
    return result


def _settle(settlement: Settlement) -> None:
    outcomes.until_stored(
        lambda: calls.settle(settlement),
        f"call {settlement.attempt}",
        for_s=settings.AIFEATURE["LEASE_S"],
    )
