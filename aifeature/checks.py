"""What must hold before a process serves: each failure names the object and the fix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import Error as DatabaseError

from aifeature import prompts, registry
from aifeature.prompts import PromptError
from aifeature.services import control_watch
from aifeature.spec import Feature
from workers.inference import NotPriced, catalog, pricing


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
    return [problem for feature in features for problem in problems_of(feature)]


@register(Tags.database)
def check_controls(*, databases: Any = None, **_: Any) -> list[CheckMessage]:
    """This release can follow what operators set. Asked where a database may be asked."""
    if not databases:
        return []
    try:
        return [
            Warning(problem.summary, hint=problem.next_step, id="aifeature.W001")
            for problem in control_watch.problems()
        ]
    except DatabaseError:  # away, or not migrated yet: another check's business
        return []


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
