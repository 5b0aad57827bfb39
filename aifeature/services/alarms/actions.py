"""The action that operators chose for a red number, beside its alert.

Each action runs in the transaction that opens the alert: both are stored, or neither. Its audit row
has the check's name and the figures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from django.db import transaction
from django.db.models.functions import Now

from aifeature.models import Activation, ControlChange, FeatureControl, NumberAction
from aifeature.policies.alarms import MOST_TRIES, ROLL_BACK_AGAIN_S
from aifeature.policies.numbers import Six
from aifeature.services.alarms import rules
from aifeature.services.controls import GLOBAL, live, switch
from aifeature.services.numbers.six import Number
from aifeature.services.promotion import RefusedError, activations
from aifeature.services.rollout import ramps

logger = logging.getLogger(__name__)

CHECK: Final = "six numbers"
"""`check_name` of the audit rows."""


class State(StrEnum):
    DONE = "done"
    NOT_DONE = "not_done"
    """It is impossible, or would do harm. It is not tried again."""
    FAILED = "failed"
    """It is tried again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an action. `text` is for the alert: what was done, the next step."""

    action: str
    state: State
    text: str
    tries: int = 1

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def act(slug: str, number: Number, reason: str, figures: Mapping[str, Any]) -> Outcome:
    """Do what operators chose for this number. An error is an outcome, and undoes the action alone.

    Call it in the transaction of the alert.
    """
    chosen = NumberAction.NOTIFY
    try:
        with transaction.atomic():
            chosen = rules.action(slug, number.name)
            done, text = _ACTIONS[chosen](slug, number, reason, dict(figures))
    except Exception:
        # The text of an error may quote values. The log's formatter removes them.
        logger.exception("the action %s for %s of %s failed", chosen, number.name, slug)
        text = f"The action ({chosen.label.lower()}) failed and is tried again each minute."
        return Outcome(chosen, State.FAILED, text)
    return Outcome(chosen, State.DONE if done else State.NOT_DONE, text)


def again(
    slug: str, number: Number, reason: str, figures: Mapping[str, Any], tries: int
) -> Outcome:
    """Try a failed action again, after this number of tries."""
    outcome = replace(act(slug, number, reason, figures), tries=tries + 1)
    if outcome.state is State.FAILED and outcome.tries >= MOST_TRIES:
        text = f"The action ({outcome.action}) failed {outcome.tries} times. Do it by hand."
        return replace(outcome, text=text.replace("_", " "))
    return outcome


_Result = tuple[bool, str]


def _notify(slug: str, number: Number, reason: str, figures: dict[str, Any]) -> _Result:
    del slug, number, reason, figures
    return True, "Read the rows that counted on the alert's page, and find the cause."


def _roll_back(slug: str, number: Number, reason: str, figures: dict[str, Any]) -> _Result:
    # The lock comes first: two numbers that turn red together must not both roll back.
    FeatureControl.objects.get_or_create(feature=slug)
    FeatureControl.objects.select_for_update().get(feature=slug)
    why = _is_stopped(slug) or _was_rolled_back(slug, number) or _is_of_others(slug, number)
    if why:
        return False, f"It was not rolled back. {why}"
    try:
        done = activations.roll_back(slug, reason=reason, check_name=CHECK, figures=figures)
    except RefusedError as refused:
        return False, f"It was not rolled back, and users still get it. {refused}"
    return True, f"It was rolled back to {done.version}. Mend the prompt before it is live again."


def _stop_ramp(slug: str, number: Number, reason: str, figures: dict[str, Any]) -> _Result:
    del number
    if why := _is_stopped(slug):
        return False, f"No ramp was stopped. {why}"
    try:
        ramp = ramps.stop(slug, reason=reason, check_name=CHECK, figures=figures)
    except ramps.RefusedError as refused:
        return False, f"No ramp was stopped. {refused}"
    percent = ramps.percent_of(ramp)
    return True, f"Its ramp was stopped at {percent} %. Find the cause before you start another."


def _trip(slug: str, number: Number, reason: str, figures: dict[str, Any]) -> _Result:
    del number
    if why := _is_stopped(slug):
        return False, why
    if switch.trip(slug, check=CHECK, reason=reason, figures=figures):
        return True, "Its kill switch was pulled. Find the cause, then release it in admin."
    return False, _STOPPED


_STOPPED: Final = "Its kill switch was pulled already, so nothing else was done."


def _is_stopped(slug: str) -> str:
    """Return that a switch is pulled, as a sentence; empty if none is."""
    pulled = FeatureControl.objects.filter(feature__in=(slug, GLOBAL), killed=True)
    found = set(pulled.values_list("feature", flat=True))
    if slug in found:
        return _STOPPED
    return "The kill switch of everything is pulled, so nothing else was done." if found else ""


def _was_rolled_back(slug: str, number: Number) -> str:
    """Return why another roll-back would do harm, as a sentence; empty if it would not.

    After any roll-back the window still counts answers of the prompt before it.
    """
    own = ControlChange.objects.filter(
        feature=slug,
        field="live_prompt",
        check_name=CHECK,
        figures__number=number.name,
        at__gt=Now() - timedelta(seconds=ROLL_BACK_AGAIN_S),
    )
    if (earlier := own.order_by("-at").first()) is not None:
        return (
            f"This number rolled it back at {earlier.at:%Y-%m-%d %H:%M} UTC already, and may do so"
            " once in 24 hours: the prompt may not be the cause."
        )
    rows = Activation.objects.filter(
        feature=slug,
        provider=live.provider(),
        kind=Activation.Kind.ROLLED_BACK,
        at__gte=number.begins,
    )
    if (last := rows.order_by("-id").first()) is not None:
        return (
            f"It was rolled back to {last.version} at {last.at:%Y-%m-%d %H:%M} UTC, and answers"
            " from before still count."
        )
    return ""


def _is_of_others(slug: str, number: Number) -> str:
    """Return that the votes are about earlier prompts, as a sentence; empty if they are not.

    A week of votes outlives a prompt. With enough votes about the live one, only these count.
    """
    if number.name != Six.THUMBS_DOWN or number.version:
        return ""
    row = activations.live_row(slug)
    if row is None or row.at < number.begins:
        return ""
    return (
        f"{row.version} is live since {row.at:%Y-%m-%d %H:%M} UTC, and has less than"
        f" {number.least} votes: most are about earlier prompts."
    )


_ACTIONS: Final[Mapping[str, Callable[[str, Number, str, dict[str, Any]], _Result]]] = (
    MappingProxyType(
        {
            NumberAction.NOTIFY: _notify,
            NumberAction.ROLL_BACK: _roll_back,
            NumberAction.STOP_RAMP: _stop_ramp,
            NumberAction.TRIP: _trip,
        }
    )
)
