"""What must hold before a process serves: each failure names the object and the fix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004 (Django's)

from aifeature import prompts, registry
from aifeature.policies import budget
from aifeature.prompts import PromptError
from aifeature.spec import Feature
from workers.inference import NotPriced, catalog, pricing


@register("aifeature")
def check_features(**_: Any) -> list[CheckMessage]:
    """Every feature has its prompts, and every model it may call is known and priced."""
    try:
        features = registry.all_features().values()
    except (TypeError, ValueError) as error:
        return [Error(f"A feature cannot be loaded: {error}", id="aifeature.E001")]
    return [problem for feature in features for problem in problems_of(feature)]


@register("aifeature")
def check_global_cap(**_: Any) -> list[CheckMessage]:
    """All features together have a cap of a day."""
    try:
        features = registry.all_features()
    except (TypeError, ValueError):
        return []  # `check_features` reports it
    found = budget.global_daily(
        {slug: feature.limits.daily_budget_usd for slug, feature in features.items()},
        admin=None,
        setting=settings.AIFEATURE["GLOBAL_DAILY_BUDGET_USD"],
    )
    if found.usd is not None:
        return []
    return [
        Warning(
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
