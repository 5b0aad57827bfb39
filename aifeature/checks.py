"""What must hold before a process serves: each failure names the object and the fix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Doubt
from django.db import Error as DatabaseError

from aifeature import prompts, registry
from aifeature.policies import budget
from aifeature.prompts import PromptError
from aifeature.services import control_watch
from aifeature.spec import Feature, Route
from workers.inference import InferenceRequest, Message, NotPriced, TextBlock, catalog, pricing

LARGEST_SHARE = 5
"""One user's spend cap should be at most this part of what the feature may spend in a day."""


@register("aifeature")
def check_features(**_: Any) -> list[CheckMessage]:
    """Every feature has its prompts, and every model it may call is known and priced."""
    try:
        features = registry.all_features().values()
    except Exception as error:  # noqa: BLE001 (the code of a feature may raise anything)
        return [
            Error(
                f"A feature cannot be loaded: {type(error).__name__}: {error}",
                hint="Mend it in aifeature/features/. Meanwhile `manage.py kill_switch` works.",
                id="aifeature.E001",
            )
        ]
    found = [problem for feature in features for problem in problems_of(feature)]
    return found or [problem for feature in features for problem in budgets_of(feature)]


@register(Tags.database)
def check_controls(*, databases: Any = None, **_: Any) -> list[CheckMessage]:
    """This release can follow what operators set. Asked where a database may be asked."""
    if not databases:
        return []
    try:
        return [
            Doubt(problem.summary, hint=problem.next_step, id="aifeature.W001")
            for problem in control_watch.problems()
        ]
    except DatabaseError:  # away, or not migrated yet: another check's business
        return []


@register("aifeature")
def check_global_cap(**_: Any) -> list[CheckMessage]:
    """All features together have a cap of a day."""
    try:
        features = registry.all_features()
    except Exception:  # noqa: BLE001 (the code of a feature may raise anything)
        return []  # `check_features` reports it
    found = budget.global_daily(
        {slug: feature.limits.daily_budget_usd for slug, feature in features.items()},
        admin=None,
        setting=settings.AIFEATURE["GLOBAL_DAILY_BUDGET_USD"],
    )
    if found.usd is not None:
        return []
    return [
        Doubt(
            f"All features together have no daily cap: {found}.",
            hint="Set daily_budget_usd in the feature's limits, or GLOBAL_DAILY_BUDGET_USD.",
            id="aifeature.W010",
        )
    ]


def problems_of(feature: Feature) -> Iterator[CheckMessage]:
    """What is wrong with one feature."""
    folder = f"aifeature/features/{feature.slug}"
    for version in sorted({feature.prompt_version, *prompts.versions(feature.slug)}):
        try:
            prompts.get(feature.slug, version)
        except PromptError as error:
            yield Error(str(error), hint=f"Mend {folder}/{version}.md.", id="aifeature.E002")
    for model in sorted(feature.models):
        try:
            catalog.get(model)
            pricing.price_list(model)
        except NotPriced as error:
            yield Error(
                f"Feature {feature.slug} routes to {model}: {error}",
                hint=f"Name a model of workers/inference/catalog.py in {folder}/feature.py.",
                id="aifeature.E003",
            )


def budgets_of(feature: Feature) -> Iterator[CheckMessage]:
    """What is wrong with the caps of one user of a feature whose models are priced."""
    usd = budget.user_spend_usd(feature.limits, budget_usd=None, spend_usd=None)
    cap, daily = budget.to_micro(usd), budget.to_micro(feature.limits.daily_budget_usd)
    charge = budget.to_micro(feature.limits.user_daily_budget_usd)
    caps = [each for each in (cap, charge) if each is not None]
    if not caps:
        return
    bound = largest_bound_micro(feature)
    where = f"aifeature/features/{feature.slug}/feature.py"
    if min(caps) < bound:  # each of them must have room for the reservation
        yield Error(
            f"A user of {feature.slug} has ${min(caps) / budget.MICRO:.2f} a day, and the largest"
            f" input reserves ${bound / budget.MICRO:.2f}: it could never be sent.",
            hint="Raise user_daily_spend_usd or user_daily_budget_usd, or lower max_input_bytes, in"
            f" {where}.",
            id="aifeature.E004",
        )
    if cap is not None and daily is not None and cap * LARGEST_SHARE > daily:
        yield Doubt(
            f"One user of {feature.slug} may spend ${cap / budget.MICRO:.2f} of the"
            f" ${daily / budget.MICRO:.2f} that the feature may spend in a day: a few users can"
            " stop it for all.",
            hint=f"Raise daily_budget_usd to {LARGEST_SHARE} times that, or lower"
            f" user_daily_spend_usd, in {where}.",
            id="aifeature.W002",
        )


def largest_bound_micro(feature: Feature) -> int:
    """Return the micro-dollars that the largest input reserves at its dearest model."""
    return max(
        _bound_micro(feature, route, model) for route in feature.routes for model in route.models
    )


def _bound_micro(feature: Feature, route: Route, model: str) -> int:
    prompt = prompts.get(feature.slug, feature.prompt_version)
    limit = feature.limits.max_input_bytes
    size = limit if route.up_to_bytes is None else min(limit, route.up_to_bytes)
    request = InferenceRequest(
        attempt_id=UUID(int=0),
        model=model,
        system=(TextBlock(prompt.system),),
        messages=(Message("user", (TextBlock("x" * size),)),),
        max_tokens=prompt.parameters.max_tokens,
    )
    schema = len(json.dumps(feature.output_schema).encode())
    return pricing.upper_bound_micro(request, schema_bytes=schema)
