"""A new column with personal data must be listed here, and handled by the erasure."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.auth.models import User

from aifeature.models import (
    Attempt,
    AuditedAnswer,
    Feedback,
    GuardEvent,
    Job,
    JobSignal,
    NpsAnswer,
)
from aifeature.models.free_text import FreeLine, FreeText
from evals.models import Run, Sample, WeeklyRun

KNOWN = {
    "admin.LogEntry.user",
    "aifeature.AccessBlock.created_by",
    "aifeature.AccessBlock.user",
    "aifeature.Alert.acknowledged_by",
    "aifeature.Alert.assigned_to",
    "aifeature.AlertChannel.created_by",
    "aifeature.Activation.user",
    "aifeature.ApiToken.user",
    "aifeature.Attempt.settled_by",
    "aifeature.Attempt.user",
    "aifeature.AuditedAnswer.labelled_by",
    "aifeature.BetaMember.user",
    "aifeature.Canary.created_by",
    "aifeature.ControlChange.user",
    "aifeature.FeatureControl_beta_users.user",
    "aifeature.Feedback.user",
    "aifeature.GuardEvent.user",
    "aifeature.Job.user",
    "aifeature.JobSignal.user",
    "aifeature.Launch.announced_by",
    "aifeature.NpsAnswer.user",
    "aifeature.Ramp.created_by",
    "aifeature.RateOverride.created_by",
    "aifeature.RateOverride.user",
    "aifeature.RefusedSubmissions.user",
    "aifeature.Shadow.created_by",
    "aifeature.Silence.created_by",
    "aifeature.SignIn.user",
    "auth.User_groups.user",
    "auth.User_user_permissions.user",
}
"""Columns that refer to an account; `aifeature.services.privacy` handles each."""

FREE_TEXT = {
    Job: {
        *("input", "result", "partial_text", "error_message", "idempotency_key"),
        *("request_digest", "approval_reason"),
    },
    Attempt: {"request", "output", "error_detail"},
    GuardEvent: {"evidence"},
    Feedback: {"answer", "comment"},
    AuditedAnswer: {"note"},
    JobSignal: set(),
    NpsAnswer: set(),
    Run: set(),
    Sample: set(),
    WeeklyRun: set(),
}
"""Columns an erasure blanks."""

NO_CONTENT = {
    Job: {
        *("id", "feature", "status", "error_code", "cancelled_by", "worker", "model"),
        *("prompt_version", "wait_reason", "origin"),
        # Of an evaluation or a shadow: a prompt version and a key. Of a user: the guards' decision.
        "options",
    },
    Feedback: {"feature", "reasons", "prompt_version", "model"},
    AuditedAnswer: {"feature", "label"},
    # A name is of a fixed list, or a slug of at most 40 characters that the web app chose.
    JobSignal: {"feature", "kind", "name"},
    NpsAnswer: {"feature"},
    GuardEvent: {"feature", "stage", "guard", "category", "action"},
    Attempt: {
        *("id", "feature", "purpose", "state", "provider", "model", "prompt_version"),
        *("prompt_hash", "stop_reason", "request_id", "error_code"),
        "budget",
        "reason",  # names of models and routes, and figures
        "settled_reason",  # an operator's words; listed if they hold the name
    },
    # An evaluation runs the cases of a suite, whose texts are part of the code. No text of a user
    # gets there, so an erasure leaves its tables as they are.
    Run: {
        *("id", "feature", "kind", "state", "note", "cases", "suite_hash", "arms", "judge"),
        *("scorer_hash", "guard_hash", "provider", "verdict"),
    },
    Sample: {
        *("arm", "case", "state", "job", "judge_job", "output", "parts", "judgement", "problem"),
        *("model", "first_model", "judge_model", "attempts"),
    },
    WeeklyRun: {
        *("feature", "state", "version", "prompt_hash", "verdict", "confirmation_verdict"),
        *("baseline_evidence", "baseline_note", "evidence", "answered_by", "marks", "action"),
        "note",
    },
}
"""Text columns whose values are ours or the provider's, never a person's words."""

OURS = {
    "aifeature.Attempt.reason",
    "aifeature.Ramp.hold_reason",
    "evals.Run.note",
    "evals.WeeklyRun.baseline_note",
    "evals.WeeklyRun.note",
}
"""Columns with a sentence of the code."""

TEXT = {"CharField", "TextField", "JSONField", "UUIDField"}


def test_every_column_that_points_to_a_person_is_known() -> None:
    models = apps.get_models(include_auto_created=True)
    found = {
        f"{model._meta.app_label}.{model.__name__}.{field.name}"
        for model in models
        for field in model._meta.concrete_fields
        if field.related_model is User
    }
    assert found == KNOWN


def test_every_text_of_a_job_and_of_a_call_is_erased_or_known_to_hold_none() -> None:
    for model, erased in FREE_TEXT.items():
        texts = {
            field.name for field in model._meta.concrete_fields if field.get_internal_type() in TEXT
        }
        assert texts == erased | NO_CONTENT[model], model


def test_words_of_a_person_are_stored_without_personal_data() -> None:
    models: list[Any] = [
        *apps.get_app_config("aifeature").get_models(),
        *(Run, Sample, WeeklyRun),
    ]
    found = {
        field
        for model in models
        for field in model._meta.concrete_fields
        if field.name.endswith(("reason", "note")) and not field.choices
    }
    plain = {str(field) for field in found if not isinstance(field, FreeText | FreeLine)}
    assert plain - {"aifeature.Job.wait_reason", "aifeature.Attempt.stop_reason"} == OURS
    assert len(found) > len(plain)
