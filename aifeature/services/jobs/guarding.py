"""The guards of an input: what follows for the request, its job and its user."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Final

from aifeature.guarding import Finding, Guard
from aifeature.models.guard_event import GuardEvent, NewGuardEvent
from aifeature.services.controls import flags
from aifeature.services.guards import audit, inputs
from aifeature.services.guards.inputs import FAULT, Checked, GuardFaultError
from aifeature.services.jobs import validation
from aifeature.services.jobs.refusals import GuardAway, InputRefused, InvalidInput
from aifeature.spec import Feature, Policy

RETRY_S: Final = 60

TIGHTENED: Final = "tightened"
"""The option of a job whose answer has stricter rules."""

REFUSED: Final = MappingProxyType(
    {
        Guard.HIDDEN_CHARACTERS: "This text has characters that nobody can see, which this feature"
        " does not accept. Copy the visible text, and send it again.",
        Guard.PERSONAL_DATA: "This text has personal data or a password, which this feature does"
        " not accept. Remove it, and send the text again.",
        Guard.INJECTION: "Part of this text gives orders to the AI, which this feature does not"
        " accept. Remove it, and send the text again.",
        Guard.FOUL_LANGUAGE: "This text has foul language, which this feature does not accept."
        " Please use other words.",
    }
)
"""Sentences for users, by the guard that refused their input."""

DOES_NOT_FIT_CLEANED: Final = (
    "We do not keep personal data and invisible characters, and without them this input does not"
    " fit. Remove them, and send it again."
)

_ACTIONS: Final = MappingProxyType(
    {
        Policy.FLAG: GuardEvent.Action.FLAGGED,
        Policy.TIGHTEN: GuardEvent.Action.TIGHTENED,
        Policy.REFUSE: GuardEvent.Action.REFUSED,
    }
)
_CLEANED: Final = MappingProxyType(
    {
        Guard.HIDDEN_CHARACTERS: GuardEvent.Action.REMOVED,
        Guard.PERSONAL_DATA: GuardEvent.Action.REDACTED,
    }
)
"""The action under the policy FLAG, where it is more than a flag."""


def checked(feature: Feature, value: dict[str, Any], *, user_id: int | None) -> Checked:
    """Return a valid input as it may be stored.

    `user_id` is the user of the request; None: an evaluation, which has no rows in the audit log.

    Raises:
        InputRefused: a guard refuses it.
        InvalidInput: it does not fit the feature without what the guards replaced.
        GuardAway: a guard failed.
    """
    try:
        found = inputs.check(feature, value)
    except GuardFaultError as fault:
        closed = Finding(fault.guard, FAULT)
        stage, action = GuardEvent.Stage.GUARD, GuardEvent.Action.FAILED_CLOSED
        _record([NewGuardEvent(stage, action, closed)], feature, user_id)
        raise GuardAway(
            "We cannot check your text at the moment, so we did not take it. Please try again in a"
            " few minutes.",
            retry_after_s=RETRY_S,
        ) from None
    if found.refused is not None:
        _record(list(events(feature, found)), feature, user_id)
        note(feature, user_id, found)
        raise InputRefused(REFUSED[found.refused.guard])
    if found.value == value:
        return found
    return Checked(_fitting(feature, found.value), found.findings, found.tightened, None)


def options(found: Checked) -> dict[str, Any] | None:
    """Return the options of the job with this input; None if it has none."""
    return {TIGHTENED: True} if found.tightened else None


def events(feature: Feature, found: Checked) -> Iterator[NewGuardEvent]:
    """Yield the rows of the audit log about an input."""
    for finding in found.findings:
        if finding.category == FAULT:
            stage, action = GuardEvent.Stage.GUARD, GuardEvent.Action.FAILED_OPEN
            yield NewGuardEvent(stage, action, finding)
            continue
        policy = inputs.policy(feature.guards, finding.guard)
        action = _ACTIONS[policy]
        if policy is Policy.FLAG:
            action = _CLEANED.get(finding.guard, action)
        yield NewGuardEvent(GuardEvent.Stage.INPUT, action, finding)


def note(feature: Feature, user_id: int | None, found: Checked) -> None:
    """Count an attack against its user, whose rate is lowered after several in one day."""
    attacks = (each for each in found.findings if each.guard is Guard.INJECTION)
    if user_id is not None and any(each.category != FAULT for each in attacks):
        flags.note(feature, user_id)


def _fitting(feature: Feature, value: dict[str, Any]) -> dict[str, Any]:
    try:
        return validation.validated(feature, value)
    except InvalidInput as invalid:
        if all(each["message"] == validation.NOTHING_TO_READ for each in invalid.errors):
            raise
        raise InvalidInput(DOES_NOT_FIT_CLEANED, errors=invalid.errors) from None


def _record(events: list[NewGuardEvent], feature: Feature, user_id: int | None) -> None:
    if user_id is not None:
        audit.record_all(events, user_id=user_id, feature=feature.slug, job=None)
