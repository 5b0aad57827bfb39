"""The actions of the panel. They use the same functions as users, operators and the provider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth import get_user_model
from django.utils import timezone

from aifeature import money, prompts, registry
from aifeature.services import controls, jobs
from aifeature.services.controls import rates
from aifeature.services.jobs.refusals import Refusal
from aifeature.services.monitoring import overview
from aifeature.services.promotion import RefusedError, activations, standing
from aifeature.spec import Kind
from project.panel import provider
from workers.inference.breaker import BreakerPolicy

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from aifeature.spec import Feature

REASON: Final = "Local control panel"

CROWD: Final = 60
"""Requests of one press: ten times a usual minute."""

FAILING: Final = 2 * BreakerPolicy().minimum
"""Requests to a broken provider. Half of them open a breaker, even after many successes."""

RATES: Final = 3
"""Times of a user's rate in an attack: two thirds of it are refused."""

MOST: Final = 300
"""Most requests of an attack, in case an operator raised the rate."""

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


def _break(visitor: User) -> str:
    provider.set_faults({"kind": "api_error"})
    sent = _submit(_demo_users(visitor), FAILING)
    return f"The provider answers every call with an error 500. {sent}"


def _slow(_visitor: User) -> str:
    provider.set_faults({"kind": "slow_first_byte", "seconds": 8.0})
    return "The provider waits eight seconds before each answer."


def _garble(_visitor: User) -> str:
    provider.set_faults({"kind": "malformed_output", "shape": "wrong_shape", "probability": 0.5})
    return "Half of the answers do not fit the output format."


def _crowd(visitor: User) -> str:
    return _submit(_demo_users(visitor), CROWD)


def _attack(visitor: User) -> str:
    feature = max(registry.offered().values(), key=lambda each: each.limits.max_input_bytes)
    own = rates.of(feature, visitor.pk)
    per_minute = int(own.requests_per_minute or 0)
    count = min(max(CROWD, RATES * per_minute), MOST)
    sent = _submit([visitor], count, features=[feature], repeat=PAGES)
    rate = f"{per_minute} requests a minute" if per_minute else "any number of requests"
    at_once = f", {own.in_flight} calls at once" if own.in_flight else ""
    return f"{feature.title}: {sent} One user may send {rate}{at_once}."


def _worsen(visitor: User) -> str:
    feature = registry.get("summarize")
    before = controls.live_version(feature)
    while activations.rollback_target(feature):
        activations.roll_back(feature.slug, reason=REASON, user_id=visitor.pk)
    oldest = controls.live_version(feature)
    if oldest == before:
        return f"{feature.slug} has no earlier prompt with evidence, so it stays as it is."
    return f"The active prompt of {feature.slug} is {oldest} now, which demands least."


def _spend(visitor: User) -> str:
    for slug, window in overview.spend(timezone.now()).items():
        if slug in registry.offered():
            # In whole cents. A cap is reached at what is spent, so reservations do not count.
            cap = money.to_usd(window.spent).quantize(Decimal("0.01"), ROUND_DOWN)
            controls.change(slug, {"daily_budget_usd": cap}, reason=REASON, user_id=visitor.pk)
    return "The budget of each feature for today is now what it has spent."


def _repair(visitor: User) -> str:
    provider.set_faults()
    for slug, feature in registry.offered().items():
        if (live := activations.live_row(slug)) and live.reason == REASON:
            _activate_newest(feature, visitor)  # no other prompt: a canary would end
        controls.change(slug, {"daily_budget_usd": None}, reason=REASON, user_id=visitor.pk)
    return "The provider answers again. A worsened prompt is replaced. Budgets are the code's."


def _activate_newest(feature: Feature, visitor: User) -> None:
    """Activate the code's version, or the newest one before it that evidence permits."""
    slug = feature.slug
    known = prompts.versions(slug)
    ours = known[: known.index(feature.prompt_version) + 1]
    for each in standing.of(feature).versions:
        if each.is_live:
            return
        if each.version in ours and each.hash and not each.problem:
            with suppress(RefusedError):  # it became live, or lost its evidence, just now
                activations.activate(slug, each.version, reason=REASON, user_id=visitor.pk)
            return


ACTIONS: Final = (
    Action(
        "break",
        "Break the provider",
        f"The demo users send {FAILING} requests, which fail. The breakers open within seconds."
        " Jobs wait, and features that allow it give their simple answer: send one to see.",
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
        f"You send {RATES} times as many long texts to one feature as you may in a minute. Your own"
        " rate refuses most of them, and few of the others run at once: other users do not wait.",
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
        "New requests are refused with a reason, and an alert opens after about a minute.",
        _spend,
    ),
    Action(
        "repair",
        "Put everything right",
        "Breakers close after a probe and a few calls, and waiting jobs continue. Alerts end by"
        " themselves: within about a minute, and after three if no job needs their model.",
        _repair,
        is_repair=True,
    ),
)


def find(slug: str) -> Action | None:
    return next((action for action in ACTIONS if action.slug == slug), None)


def _demo_users(visitor: User) -> list[Any]:
    """Return the demo users, or the visitor if there are none."""
    others = get_user_model().objects.filter(email__endswith="@demo.invalid", is_active=True)
    return [*others] or [visitor]


def _submit(
    users: Sequence[Any],
    count: int,
    *,
    features: Sequence[Feature] | None = None,
    repeat: int = 1,
) -> str:
    """Submit examples of features in turn, of all features by default, but no hostile ones.

    Return how many were accepted, and why others were not.
    """
    examples = [
        (feature.slug, example.input)
        for feature in features or registry.offered().values()
        for example in feature.examples
        if example.kind is not Kind.HOSTILE  # three of a day would slow their user down
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
