"""The moderation pass: a cheap model reads an answer before its user does.

Its calls are in the ledger of the job, and never charged. Without a verdict nothing is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

from aifeature import prompts, registry
from aifeature.fences import FenceError
from aifeature.guarding import Finding, Guard
from aifeature.models.transitions import AttemptRefusedError, Settlement
from aifeature.prompts import Prompt
from aifeature.services import controls
from aifeature.services.execution import output
from aifeature.services.execution.calls import Ended
from aifeature.services.execution.output import OutputInvalidError
from aifeature.services.functions import FunctionPool
from aifeature.services.guards import outputs
from aifeature.spec import Feature, Moderation
from workers.inference import (
    Cancelled,
    Deferred,
    InferenceError,
    InferenceRequest,
    Message,
    TextBlock,
)

SLUG: Final = "moderation"
NO_VERDICT: Final = "no_verdict"
"""Category of a finding: no model gave a usable verdict."""

Caller = Callable[[InferenceRequest, Prompt, str], Ended]
"""Makes a call of the job; the text is the reason for its model."""


class ModerationFailedError(Exception):
    """A call of the pass failed, and no other model may be tried."""

    def __init__(self, error: InferenceError, settlement: Settlement, model: str) -> None:
        super().__init__(f"moderation by {model} failed: {error.code}")
        self.error, self.settlement, self.model = error, settlement, model


ERRORS: Final = (ModerationFailedError, Deferred, AttemptRefusedError, Cancelled)
"""Errors of `verdict` after which the answer was not moderated."""


def is_due(feature: Feature, *, tightened: bool) -> bool:
    """Return whether an answer of the feature is moderated."""
    wanted = feature.guards.moderation
    return wanted is Moderation.ALWAYS or (wanted is Moderation.TIGHTENED and tightened)


def verdict(
    result: dict[str, Any],
    feature: Feature,
    *,
    functions: FunctionPool,
    call: Caller,
    store: Callable[[Settlement], None],
) -> Finding | None:
    """Return what is unsafe in an answer of the feature; None: nothing is.

    `store` stores the end of a call after which the job goes on.

    Raises:
        ModerationFailedError: a call failed.
        Deferred, AttemptRefusedError, Cancelled: a call was not sent (see `calls.make`).
        FeatureBrokenError, FunctionsAwayError: see `output.validate`.
    """
    moderator = registry.get(SLUG)
    prompt = prompts.get(SLUG, controls.prompt_version(moderator))
    text = outputs.text_of(result, feature.output_schema)
    if not text.strip():
        return None
    given = {"text": text}
    try:
        rendered = prompt.render(given)
    except FenceError:  # the text holds each possible datamark
        return Finding(Guard.MODERATION, NO_VERDICT)
    why = "the answer is moderated"
    models = prompts.routes(moderator, prompt)[-1].models
    for model in models:
        request = InferenceRequest(
            attempt_id=uuid4(),
            model=model,
            system=(TextBlock(prompt.system),),
            messages=(Message("user", (TextBlock(rendered.text),)),),
            max_tokens=prompt.parameters.max_tokens,
            output_schema=moderator.output_schema,
            stream=False,
            deadline_s=moderator.limits.call_deadline_s,
        )
        try:
            answer, settlement = call(request, prompt, why)
        except Deferred as deferred:
            if not deferred.next_model or model == models[-1]:
                raise
            why = f"{model} takes no call: {deferred.reason}"
            continue
        if isinstance(answer, InferenceError) and not answer.next_model:
            raise ModerationFailedError(answer, settlement, model)
        store(settlement)
        why = f"{model} gave no verdict"
        if isinstance(answer, InferenceError):
            continue
        try:
            found = output.validate(functions, moderator, given, answer.text)
        except OutputInvalidError:
            continue
        return outputs.verdict(found)
    return Finding(Guard.MODERATION, NO_VERDICT)
