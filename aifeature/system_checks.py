"""System checks before a process serves. Each failure names the object and the fix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from math import ceil
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Doubt
from django.db import Error as DatabaseError
from pydantic import ValidationError

from aifeature import fences, folder_checks, prompts, registry
from aifeature.money import MICRO_PER_USD, cents_up
from aifeature.policies import budget
from aifeature.prompts import Prompt, PromptError
from aifeature.services.controls import row_check
from aifeature.spec import Feature, Route
from workers.inference import InferenceRequest, Message, NotPriced, TextBlock, catalog, pricing

UNPROTECTED: Final = "aifeature.E013"

LARGEST_SHARE = 5
"""A feature's daily cap should be at least this multiple of one user's spend cap."""


@register("aifeature", "features")
def check_features(**_: Any) -> list[CheckMessage]:
    """Check that every feature has valid prompts, and calls only known models with a price."""
    try:
        features = registry.all_features().values()
    except Exception as error:  # noqa: BLE001 (the code of a feature may raise anything)
        return list(folder_checks.unloadable()) or [
            Error(
                f"A feature cannot be loaded: {folder_checks.in_words(error)}",
                hint="Fix it in aifeature/features/. Meanwhile `manage.py kill_switch` works.",
                id="aifeature.E001",
            )
        ]
    found = list(folder_checks.incomplete())
    found += [problem for feature in features for problem in problems_of(feature)]
    if not found:  # a bound needs a prompt and prices
        found = [
            each for feature in features for each in (*budgets_of(feature), *cache_of(feature))
        ]
    return found


@register("aifeature")
def check_examples_and_suites(**_: Any) -> list[CheckMessage]:
    """Check that every feature can be tried and evaluated."""
    try:
        features = registry.all_features().values()
    except Exception:  # noqa: BLE001 (the code of a feature may raise anything)
        return []  # `check_features` reports it
    return [doubt for feature in features for doubt in folder_checks.doubts_of(feature)]


@register(Tags.database)
def check_controls(*, databases: Any = None, **_: Any) -> list[CheckMessage]:
    """Check that this release supports the operators' settings, if a database may be used."""
    if not databases:
        return []
    try:
        return [
            Doubt(problem.summary, hint=problem.next_step, id="aifeature.W001")
            for problem in row_check.problems()
        ]
    except DatabaseError:  # unavailable, or not migrated yet: other checks report it
        return []


@register("aifeature")
def check_global_cap(**_: Any) -> list[CheckMessage]:
    """Check that all features together have a daily cap."""
    try:
        features = registry.offered()
    except Exception:  # noqa: BLE001 (the code of a feature may raise anything)
        return []  # `check_features` reports it
    found = budget.global_daily(
        {slug: feature.limits.daily_budget_usd for slug, feature in features.items()},
        evals=settings.AIFEATURE["EVALS_DAILY_BUDGET_USD"],
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


@register("aifeature")
def check_feature_flags(**_: Any) -> list[CheckMessage]:
    """Check that each feature exists that the environment narrows."""
    return [
        Doubt(
            f"The environment has flags of the feature {slug}, which the code does not have.",
            hint=f"Unset the variables AI_FEATURE_{slug.upper()}_..., or correct their name."
            f" Features: {', '.join(registry.slugs())}.",
            id="aifeature.W014",
        )
        for slug in settings.AIFEATURE["FEATURE_FLAGS"]
        if slug not in registry.slugs()
    ]


def problems_of(feature: Feature) -> Iterator[CheckMessage]:
    """Yield the problems of one feature."""
    folder = f"aifeature/features/{feature.slug}"
    files = list(folder_checks.problems_of(feature))
    yield from files
    if not any(problem.id == folder_checks.NO_KNOWLEDGE for problem in files):
        yield from _prompt_problems(feature)
    for model in sorted(prompts.models(feature)):
        try:
            catalog.get(model)
            pricing.price_list(model)
        except NotPriced as error:
            yield Error(
                f"Feature {feature.slug} routes to {model}: {error}",
                hint="Use a model of workers/inference/catalog.py in feature.py and in the front"
                f" matter of each prompt, in {folder}/.",
                id="aifeature.E003",
            )


def _prompt_problems(feature: Feature) -> Iterator[CheckMessage]:
    folder = f"aifeature/features/{feature.slug}"
    is_readable = True
    for version in sorted({feature.prompt_version, *prompts.versions(feature.slug)}):
        try:
            prompts.get(feature.slug, version)
        except PromptError as error:
            is_readable = False
            cause = error.__context__  # of pydantic, which needs many lines
            yield Error(
                f"prompt {feature.slug}/{version}: parameters: {folder_checks.in_words(cause)}"
                if isinstance(cause, ValidationError)
                else str(error),
                hint=f"Fix {folder}/{version}.md.",
                id="aifeature.E002",
            )
    if not is_readable:
        return
    for field in prompts.get(feature.slug, feature.prompt_version).unprotected():
        yield Error(
            f"The prompt {feature.slug}/{feature.prompt_version} does not protect the untrusted"
            f" field {field}.",
            hint=f'Put {{{{{field}}}}} between <{field} id="{{{{fence}}}}"> and'
            f' </{field} id="{{{{fence}}}}"> in the user part of a new version in {folder}/, and'
            " let it say that {{datamark}} stands between the words.",
            id=UNPROTECTED,
        )
    try:
        changed = prompts.changed(feature.slug)
    except PromptError as error:
        yield Error(str(error), hint=f"Fix {folder}/released.txt.", id="aifeature.E002")
    else:
        for version in changed:
            yield Error(
                f"The prompt {feature.slug}/{version} was released and has changed since.",
                hint=f"Restore {folder}/{version}.md, and add the change as a new version."
                f" `manage.py releaseprompt {feature.slug}` records that one.",
                id="aifeature.E011",
            )


def cache_of(feature: Feature) -> Iterator[CheckMessage]:
    """Yield a warning for each model that does not cache the prefix of a prompt with knowledge."""
    if not feature.knowledge:
        return
    prompt = prompts.get(feature.slug, feature.prompt_version)
    size = len(prompt.system.encode())
    for model in sorted({m for route in prompts.routes(feature, prompt) for m in route.models}):
        if not pricing.is_cacheable(size, model):
            needed = catalog.get(model).cache_min_tokens
            yield Doubt(
                f"The prompt {feature.slug}/{feature.prompt_version} is never cached by {model}:"
                f" its system part has {size:,} bytes, about {size // pricing.BYTES_PER_TOKEN:,} of"
                f" the {needed:,} tokens that the provider caches at least.",
                hint="Drop `knowledge` from the feature, or give it more of it.",
                id="aifeature.W003",
            )


def budgets_of(feature: Feature) -> Iterator[CheckMessage]:
    """Yield the problems of one user's caps in a feature whose models have a price."""
    if feature.internal:  # no user has a cap there
        return
    limits = feature.limits
    spend = budget.user_spend_usd(limits, budget_usd=None, spend_usd=None)
    where = f"aifeature/features/{feature.slug}/feature.py"
    if problem := too_small(feature, spend, limits.user_daily_budget_usd):
        yield Error(
            problem,
            hint="Raise user_daily_spend_usd or user_daily_budget_usd, or lower max_input_bytes, in"
            f" {where}.",
            id="aifeature.E004",
        )
    if problem := too_large(feature, spend_usd=spend, daily_usd=limits.daily_budget_usd):
        yield Doubt(
            problem,
            hint=f"Raise daily_budget_usd to {LARGEST_SHARE} times that, or lower"
            f" user_daily_spend_usd, in {where}.",
            id="aifeature.W002",
        )


def too_small(feature: Feature, *caps_usd: Decimal | None) -> str | None:
    """Return a sentence if a user's daily caps have no room for the largest input."""
    caps = [each for each in caps_usd if each is not None]
    if not caps or min(caps) * MICRO_PER_USD >= (bound := largest_bound_micro(feature)):
        return None
    return (
        f"A user of {feature.slug} has ${min(caps):.2f} a day, and the largest input reserves up to"
        f" {cents_up(bound)}: it could never be sent."
    )


def too_large(
    feature: Feature, *, spend_usd: Decimal | None, daily_usd: Decimal | None
) -> str | None:
    """Return a sentence if a user's daily cap exceeds `1 / LARGEST_SHARE` of the feature's."""
    if spend_usd is None or daily_usd is None or spend_usd * LARGEST_SHARE <= daily_usd:
        return None
    return (
        f"One user of {feature.slug} may spend ${spend_usd:.2f} of the ${daily_usd:.2f} that the"
        " feature may spend in a day: a few users can stop it for all."
    )


def largest_bound_micro(feature: Feature) -> int:
    """Return the micro-dollars that the largest input reserves at its most expensive model.

    Texts that Unicode's form NFKC makes longer reserve more, up to eleven times as much, and texts
    of `<` and `&`, which are written as entities, up to six times. They are rare; a call that
    exceeds the caps is refused.
    """
    own = [each for each in prompts.readable(feature.slug) if each.models]
    counted = {each.version: each for each in own}
    counted[feature.prompt_version] = prompts.get(feature.slug, feature.prompt_version)
    return max(
        _bound_micro(feature, prompt, route, model)
        for prompt in counted.values()
        for route in prompts.routes(feature, prompt)
        for model in route.models
    )


def _bound_micro(feature: Feature, prompt: Prompt, route: Route, model: str) -> int:
    growth = fences.GROWTH if prompt.is_datamarked else 1
    longest = ceil(feature.limits.max_input_bytes * growth) + len(prompt.user.encode())
    size = longest if route.up_to_bytes is None else min(longest, route.up_to_bytes)
    request = InferenceRequest(
        attempt_id=UUID(int=0),
        model=model,
        system=(TextBlock(prompt.system),),
        messages=(Message("user", (TextBlock("x" * size),)),),
        max_tokens=prompt.parameters.max_tokens,
        output_schema=feature.output_schema,
    )
    schema = len(json.dumps(feature.output_schema).encode())
    return pricing.upper_bound_micro(request, schema_bytes=schema)
