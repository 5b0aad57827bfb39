"""The actions of the panel. They use the same functions as users, operators and the provider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth import get_user_model
from django.utils import timezone

from aifeature import money, prompts, registry
from aifeature.services import controls, jobs
from aifeature.services.jobs.refusals import Refusal
from aifeature.services.monitoring import overview
from project.panel import provider

if TYPE_CHECKING:
    from django.contrib.auth.models import User

REASON: Final = "Local control panel"

CROWD: Final = 60
"""Requests of one press: ten times a usual minute."""

PAGES: Final = 40
"""Repetitions of an example in the documents of an attack."""


@dataclass(frozen=True, slots=True)
class Action:
    """A button."""

    slug: str
    title: str
    watch: str
    """The effect to watch afterwards."""

    run: Callable[[User], str]
    """Takes the visitor and returns its effect as a sentence."""

    is_repair: bool = False


def _break(_visitor: User) -> str:
    provider.set_faults({"kind": "api_error"})
    return "The provider answers every call with an error 500."


def _slow(_visitor: User) -> str:
    provider.set_faults({"kind": "slow_first_byte", "seconds": 8.0})
    return "The provider waits eight seconds before each answer."


def _garble(_visitor: User) -> str:
    provider.set_faults({"kind": "malformed_output", "shape": "wrong_shape", "probability": 0.5})
    return "Half of the answers do not fit the output format."


def _crowd(visitor: User) -> str:
    others = get_user_model().objects.filter(email__endswith="@demo.invalid", is_active=True)
    return _submit([*others] or [visitor], CROWD)


def _attack(visitor: User) -> str:
    return _submit([visitor], CROWD, repeat=PAGES)


def _worsen(visitor: User) -> str:
    slug = "summarize"
    oldest = prompts.versions(slug)[0]
    controls.change(slug, {"prompt_version": oldest}, reason=REASON, user_id=visitor.pk)
    return f"The active prompt of {slug} is {oldest} now, which demands least."


def _spend(visitor: User) -> str:
    for slug, window in overview.spend(timezone.now()).items():
        if slug in registry.all_features():
            cap = money.to_usd(window.spent + window.held).quantize(Decimal("0.01")) + Decimal(
                "0.01"
            )
            controls.change(slug, {"daily_budget_usd": cap}, reason=REASON, user_id=visitor.pk)
    return "Each feature may spend one more cent today."


def _repair(visitor: User) -> str:
    provider.set_faults()
    for slug in registry.all_features():
        values = {"prompt_version": "", "daily_budget_usd": None}
        controls.change(slug, values, reason=REASON, user_id=visitor.pk)
    return "The provider answers again; prompts and budgets are those of the code."


ACTIONS: Final = (
    Action(
        "break",
        "Break the provider",
        "After about ten failed calls the breakers open. Jobs wait, and features that allow it give"
        " their simple answer.",
        _break,
    ),
    Action(
        "slow",
        "Slow it down",
        "Latency grows. The pages stay quick, since no request waits for a model.",
        _slow,
    ),
    Action(
        "garble",
        "Garble its answers",
        "Each invalid answer is repaired once, then the next model takes over. Costs rise.",
        _garble,
    ),
    Action(
        "crowd",
        "Ten times the traffic",
        "All demo users send at once. The queue grows and is worked off in turns over users.",
        _crowd,
    ),
    Action(
        "attack",
        "Attack as one user",
        "You send many long texts at once. Your own rate refuses most of them; others do not wait.",
        _attack,
    ),
    Action(
        "worsen",
        "Worsen a prompt",
        "Send a text to be summarised: it loses facts. Admin shows who changed the prompt.",
        _worsen,
    ),
    Action(
        "spend",
        "Use up the budget",
        "New requests are refused with a reason, and an alert opens within a minute.",
        _spend,
    ),
    Action(
        "repair",
        "Put everything right",
        "Breakers close after a probe, waiting jobs continue, and alerts end by themselves.",
        _repair,
        is_repair=True,
    ),
)


def find(slug: str) -> Action | None:
    return next((action for action in ACTIONS if action.slug == slug), None)


def _submit(users: Sequence[Any], count: int, *, repeat: int = 1) -> str:
    """Submit examples of all features in turn. Return how many were accepted and why others not."""
    examples = [
        (slug, example.input)
        for slug, feature in registry.all_features().items()
        for example in feature.examples
    ]
    accepted, refused = 0, dict[str, int]()
    turns = zip(cycle(users), cycle(examples), range(count), strict=False)
    for user, (slug, value), _ in islice(turns, count):
        try:
            jobs.submit(user=user, slug=slug, data=_longer(value, repeat, slug))
        except Refusal as refusal:
            refused[refusal.code] = refused.get(refusal.code, 0) + 1
        else:
            accepted += 1
    reasons = "".join(f", {number} refused ({code})" for code, number in sorted(refused.items()))
    return f"{accepted} requests accepted{reasons}."


def _longer(value: dict[str, Any], repeat: int, slug: str) -> dict[str, Any]:
    """Return the input with its texts repeated, as long as it still fits the feature."""
    longer = {
        name: "\n\n".join([part] * repeat) if isinstance(part, str) else part
        for name, part in value.items()
    }
    try:
        registry.get(slug).input_model.model_validate(longer)
    except ValueError:
        return value
    return longer
