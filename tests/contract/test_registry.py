"""Every feature is complete, every task name exists, every error code has its sentence."""

from __future__ import annotations

import ast
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from django.conf import settings
from django.core.checks import run_checks

from aifeature import prompts, registry, suites, system_checks
from aifeature.services.dispatch import publisher
from aifeature.spec import Feature, Route
from project import system_checks as project_checks
from project.celery import app
from workers import tasks
from workers.inference import InferenceRequest, Message, TextBlock, catalog, pricing
from workers.inference.client import schema_bytes

FEATURES = sorted(registry.all_features())


@pytest.mark.parametrize("slug", FEATURES)
def test_every_feature_has_prompts_and_priced_models(slug: str) -> None:
    feature = registry.get(slug)
    assert feature.prompt_version in prompts.versions(slug)
    for version in prompts.versions(slug):
        assert prompts.get(slug, version).hash
    for model in feature.models:
        assert catalog.get(model).id == model
        assert pricing.price_list(model)


@pytest.mark.parametrize("slug", FEATURES)
def test_no_field_of_the_answer_lacks_a_description(slug: str) -> None:
    """The model fills the fields in by their descriptions."""
    for name, field in registry.get(slug).output_model.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize("slug", [s for s in FEATURES if registry.get(s).suite])
def test_every_suite_has_enough_cases_that_fit_its_feature(slug: str) -> None:
    assert 100 <= len(suites.load(registry.get(slug)).cases) <= 200


def test_the_project_passes_its_own_checks() -> None:
    assert run_checks(tags=["aifeature", "celery"]) == []


def broken(**changes: object) -> Feature:
    return registry.get("summarize").model_copy(update=changes)


@pytest.mark.parametrize(
    ("feature", "check", "words"),
    [
        (broken(prompt_version="v99"), "aifeature.E002", "summarize/v99 does not exist"),
        (broken(routes=(Route(models=("gpt-0",)),)), "aifeature.E003", "routes to gpt-0"),
    ],
)
def test_a_broken_feature_is_reported_with_its_fix(
    feature: Feature, check: str, words: str
) -> None:
    (problem,) = system_checks.problems_of(feature)
    assert problem.id == check
    assert words in problem.msg
    assert "summarize" in (problem.hint or "")


def test_models_of_a_version_are_checked_and_bounded_like_routes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    summarize = broken(routes=(Route(models=("claude-haiku-5-5",)),))
    before = system_checks.largest_bound_micro(summarize)
    newest = prompts.get("summarize", "v4")
    for model in ("claude-opus-5-5", "gpt-0"):
        own = replace(newest, version="v5", models=(model,))
        monkeypatch.setattr(prompts, "readable", lambda _, own=own: [own])
        assert model in prompts.models(summarize)
        problems = list(system_checks.problems_of(summarize))
        if model == "gpt-0":
            assert [each.id for each in problems] == ["aifeature.E003"]
        else:
            assert problems == []
            assert system_checks.largest_bound_micro(summarize) > before


def test_a_released_prompt_that_changed_is_reported_with_its_fix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prompts, "changed", lambda slug: ["v2"])
    (problem,) = system_checks.problems_of(registry.get("summarize"))
    assert (problem.id, "summarize/v2 was released" in problem.msg) == ("aifeature.E011", True)
    assert "as a new version" in (problem.hint or "")


def usd(micro: int) -> Decimal:
    return Decimal(micro) / 1_000_000


def test_the_largest_input_is_bound_as_its_call_would_be() -> None:
    """With the words around it, the instructions and the schema of the answer."""
    limits = registry.get("summarize").limits.model_copy(update={"max_input_bytes": 2_000})
    feature = broken(limits=limits, routes=(Route(models=("claude-opus-5-5",)),))
    prompt = prompts.get(feature.slug, feature.prompt_version)
    question = prompt.render({"document": ("word " * 400)[: 2_000 - len('{"document":""}')]}).text
    sent = InferenceRequest(
        attempt_id=UUID(int=0),
        model="claude-opus-5-5",
        system=(TextBlock(prompt.system),),
        messages=(Message("user", (TextBlock(question),)),),
        max_tokens=prompt.parameters.max_tokens,
        output_schema=feature.output_schema,
    )
    real = pricing.upper_bound_micro(sent, schema_bytes=schema_bytes(sent))
    assert real <= system_checks.largest_bound_micro(feature) <= 1.02 * real


def test_a_model_is_bound_by_the_largest_input_of_its_own_route() -> None:
    large = Route(models=("claude-haiku-5-5",))
    both = (Route(models=("claude-opus-5-5",), up_to_bytes=1_000), large)
    assert system_checks.largest_bound_micro(
        broken(routes=both)
    ) == system_checks.largest_bound_micro(broken(routes=(large,)))


def test_a_cap_with_room_for_just_the_largest_input_is_enough() -> None:
    feature = registry.get("summarize")
    bound = usd(system_checks.largest_bound_micro(feature))
    assert system_checks.too_small(feature, None, bound, bound) is None
    below = bound - usd(1)
    assert system_checks.too_small(feature, below, None) is not None
    assert system_checks.too_small(feature, bound, below) is not None


def ids_at_boot(monkeypatch: pytest.MonkeyPatch, feature: Feature) -> list[str | None]:
    """Return the problems that the checks find when this feature is the only one."""
    monkeypatch.setattr(registry, "all_features", lambda: {feature.slug: feature})
    return [problem.id for problem in run_checks(tags=["aifeature"])]


@pytest.mark.parametrize(
    ("limits", "ids"),
    [
        ({"user_daily_budget_usd": Decimal(1)}, ["aifeature.E004"]),
        ({"daily_budget_usd": Decimal(50)}, ["aifeature.W002"]),
        ({"daily_budget_usd": None}, ["aifeature.W010"]),
    ],
)
def test_boot_looks_at_the_caps_of_each_feature_and_of_all(
    limits: dict[str, object], ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = registry.get("summarize").limits.model_copy(update=limits)
    assert ids_at_boot(monkeypatch, broken(limits=changed)) == ids


def test_a_cap_of_all_that_the_environment_sets_is_a_cap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changed = registry.get("summarize").limits.model_copy(update={"daily_budget_usd": None})
    own = {**settings.AIFEATURE, "GLOBAL_DAILY_BUDGET_USD": Decimal(50)}
    monkeypatch.setattr(settings, "AIFEATURE", own)
    assert ids_at_boot(monkeypatch, broken(limits=changed)) == []


def test_the_largest_input_of_a_feature_without_prices_is_not_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unpriced = broken(routes=(Route(models=("gpt-0",)),))
    assert ids_at_boot(monkeypatch, unpriced) == ["aifeature.E003"]


def test_code_of_a_feature_that_raises_is_one_error_at_boot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def raises() -> None:
        raise KeyError("summary")

    monkeypatch.setattr(registry, "all_features", raises)
    (problem,) = run_checks(tags=["aifeature"])
    assert problem.id == "aifeature.E001"
    assert "KeyError: 'summary'" in problem.msg


def test_every_task_that_is_sent_is_registered() -> None:
    assert set(app.tasks) >= publisher.TASK_NAMES


def test_an_unknown_task_name_is_reported() -> None:
    (problem,) = project_checks.unknown_tasks(["llm.run_job", "llm.gone"], known=["llm.run_job"])
    assert "'llm.gone'" in problem.msg


def test_a_schedule_that_no_worker_could_run_is_reported_with_its_fix() -> None:
    entries = dict(settings.CELERY_BEAT_SCHEDULE)
    (name, entry), *_ = entries.items()
    broken = {**entry, "options": {"queue": "controll"}, "kwargs": {"a": 1}, "args": [1]}
    problems = list(project_checks.schedule_problems({**entries, name: broken}))
    assert [problem.id for problem in problems] == ["project.E002", "project.E002"]
    assert "too many positional arguments" in problems[0].msg
    assert "No worker serves the queue 'controll'" in problems[1].msg


def test_a_schedule_without_a_protected_check_is_reported() -> None:
    entries = {
        name: entry
        for name, entry in settings.CELERY_BEAT_SCHEDULE.items()
        if entry["task"] != "control.cost_spike"
    }
    (problem,) = project_checks.schedule_problems(entries)
    assert (problem.id, "'control.cost_spike'" in problem.msg) == ("project.E003", True)


def test_tasks_take_ids_as_keywords_and_ignore_unknown_keywords() -> None:
    for name in ("llm.run_job", "control.sweep"):
        arguments = ast.parse(Path(tasks.__file__).read_text(encoding="utf-8"))
        function = next(
            node
            for node in ast.walk(arguments)
            if isinstance(node, ast.FunctionDef) and app.tasks[name].run.__name__ == node.name
        )
        assert function.args.kwarg is not None, name
