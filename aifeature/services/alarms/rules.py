"""The action that operators chose for each number of each feature."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from django.db import transaction
from django.db.models.functions import Now

from aifeature import registry
from aifeature.models import ControlChange, NumberAction, NumberRule
from aifeature.policies.numbers import Six

KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        Six.ERRORS: "errors_high",
        Six.LATENCY: "latency_high",
        Six.COST: "cost_per_user_high",
        Six.THUMBS_DOWN: "thumbs_down_high",
        Six.HALLUCINATIONS: "hallucinations_high",
    }
)
"""Kinds of alerts by number. The weekly evaluation alerts about `evals` itself."""

NEEDED: Final[Mapping[str, str]] = MappingProxyType(
    {
        NumberAction.ROLL_BACK: "aifeature.activate_prompt",
        NumberAction.STOP_RAMP: "aifeature.change_featurecontrol",
        NumberAction.TRIP: "aifeature.stop_feature",
    }
)
"""Permissions of a person who chooses an action: those for doing it by hand."""

FIELD: Final = "number_action"
"""`ControlChange.field` of a choice. The values name the number."""


def action(slug: str, number: str) -> NumberAction:
    """Return the chosen action. NOTIFY without one, or with one of a newer release."""
    return of(slug).get(number, NumberAction.NOTIFY)


def of(slug: str) -> dict[str, NumberAction]:
    """Return the action of each number in KINDS."""
    rows = NumberRule.objects.filter(feature=slug)
    chosen = {row.number: NumberAction(row.action) for row in rows if row.action in NumberAction}
    return {number: chosen.get(number, NumberAction.NOTIFY) for number in KINDS}


def save(slug: str, chosen: Mapping[str, NumberAction], *, reason: str, user_id: int) -> int:
    """Store actions by number, with an audit row for each changed one. Return their number.

    Raises:
        ValueError: There is no such feature or number, or the reason is empty.
    """
    if slug not in registry.slugs() or not chosen.keys() <= KINDS.keys():
        raise ValueError("there is no such feature or number")
    if not reason.strip():
        raise ValueError("a change of an action needs a reason")
    with transaction.atomic():
        list(NumberRule.objects.select_for_update().filter(feature=slug))
        before = of(slug)
        changed = {number: new for number, new in chosen.items() if new != before[number]}
        for number, new in changed.items():
            NumberRule.objects.update_or_create(
                feature=slug, number=number, defaults={"action": new, "updated_at": Now()}
            )
            ControlChange.objects.create(
                feature=slug,
                field=FIELD,
                old=f"{number}: {before[number].value}",
                new=f"{number}: {new.value}",
                reason=reason,
                user_id=user_id,
            )
    return len(changed)
