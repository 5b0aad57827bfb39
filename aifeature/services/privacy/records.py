"""Queries for a user's personal data, and its counts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from aifeature.models import (
    AccessBlock,
    Activation,
    AlertChannel,
    ApiToken,
    Attempt,
    AuditedAnswer,
    BetaMember,
    Canary,
    ControlChange,
    FeatureControl,
    Feedback,
    GuardEvent,
    Job,
    Launch,
    Ramp,
    RateOverride,
    RefusedSubmissions,
    Shadow,
    ShadowPair,
    Silence,
)
from aifeature.services.sign_in import failures
from aifeature.services.sign_in import sign_ins as sessions

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_SIGN_INS: Final = (AccessAttempt, AccessFailureLog, AccessLog)


@dataclass(frozen=True, slots=True)
class Found:
    """Number of records of a user."""

    jobs: int
    open_jobs: int
    jobs_with_content: int
    calls: int
    valid_tokens: int
    sessions: int
    sign_ins: int
    invitations: int
    betas: int
    blocks: int
    rate_overrides: int
    guard_events: int
    ratings: int
    shadow_pairs: int
    """Requests that a candidate answered again."""


def find(user: User) -> Found:
    jobs = Job.objects.filter(user=user)
    return Found(
        jobs=jobs.count(),
        open_jobs=open_jobs(user).count(),
        jobs_with_content=jobs.filter(content_blanked_at=None).count(),
        calls=Attempt.objects.filter(user=user).count(),
        valid_tokens=ApiToken.objects.filter(user=user, revoked_at=None).count(),
        sessions=len(list(sessions.of(user))),
        sign_ins=sum(rows.count() for rows in sign_ins(user)),
        invitations=invitations(user).count(),
        betas=betas(user).count(),
        blocks=blocks(user).count(),
        rate_overrides=rate_overrides(user).count(),
        guard_events=guard_events(user).count(),
        ratings=Feedback.objects.filter(user=user).count(),
        shadow_pairs=shadow_pairs(user).count(),
    )


def open_jobs(user: User) -> QuerySet[Job]:
    """Return the user's jobs that have not ended, and those that shadows made of their requests."""
    names = ("shadow_job", "judge_job", "second_judge_job")
    found: Any = shadow_pairs(user).values_list(*names)
    # By id, since the jobs are many.
    copies = [each for pair in found for each in pair if each is not None]
    return Job.objects.filter(Q(user=user) | Q(pk__in=copies), finished_at=None)


def shadow_pairs(user: User) -> QuerySet[ShadowPair]:
    """Return the pairs of the user's requests with copies of them."""
    return ShadowPair.objects.filter(job__user=user)


def refused_submissions(user: User) -> QuerySet[RefusedSubmissions]:
    return RefusedSubmissions.objects.filter(user=user)


def sign_ins(user: User) -> list[QuerySet[Any]]:
    """Return records of sign-ins, mostly failed, with the account's name or address."""
    named = failures.of_name(user.get_username())
    if user.email:
        named |= failures.of_name(user.email)
    return [model.objects.filter(named) for model in _SIGN_INS]


def invitations(user: User) -> QuerySet[FeatureControl]:
    return FeatureControl.objects.filter(beta_users=user)


def betas(user: User) -> QuerySet[BetaMember]:
    """Return the betas that the user joined."""
    return BetaMember.objects.filter(user=user)


def blocks(user: User) -> QuerySet[AccessBlock]:
    """Return the user's blocks from features, also those that are over."""
    return AccessBlock.objects.filter(user=user)


def rate_overrides(user: User) -> QuerySet[RateOverride]:
    return RateOverride.objects.filter(user=user)


def guard_events(user: User) -> QuerySet[GuardEvent]:
    """Return what guards found in the user's requests, also in rows that do not name the user."""
    return GuardEvent.objects.filter(Q(user=user) | Q(job__user=user))


def log_about(user: User) -> QuerySet[LogEntry]:
    """Return admin's log entries about the account and its tokens, which show its name."""
    return _logged((get_user_model(), [user.pk]), (ApiToken, _ids(ApiToken, user)))


def log_about_work(user: User) -> QuerySet[LogEntry]:
    """Return admin's log entries about the user's jobs and calls."""
    return _logged((Job, _ids(Job, user)), (Attempt, _ids(Attempt, user)))


def log_naming(user: User) -> QuerySet[LogEntry]:
    """Return admin's log entries whose message contains the user's name."""
    return LogEntry.objects.filter(_naming(user, "change_message"))


def _ids(model: type[Any], user: User) -> QuerySet[Any]:
    rows = model.objects.filter(user=user)
    return rows.values_list(Cast("pk", TextField()), flat=True)  # type: ignore[no-any-return]


def _logged(*about: tuple[type[Any], Any]) -> QuerySet[LogEntry]:
    condition = Q(pk=None)
    for model, ids in about:
        kind = ContentType.objects.get_for_model(model)
        condition |= Q(content_type=kind, object_id__in=ids)
    return LogEntry.objects.filter(condition)


def erased_name(user: User) -> str:
    """Return the account's name after the erasure."""
    return f"erased-{user.pk}"


def is_named(user: User, text: str) -> bool:
    """Return whether a text contains the user name, full name or address as a word."""
    return any(re.search(_as_word(name), text, re.IGNORECASE) for name in _names(user))


def mentions(user: User) -> list[str]:
    """Return labels of remaining records whose texts contain the user's name."""
    changes = changes_naming(user)
    calls = Attempt.objects.filter(_naming(user, "settled_reason"), user=user)
    others = RateOverride.objects.filter(_naming(user, "reason")).exclude(user=user)
    blocked = AccessBlock.objects.filter(_naming(user, "reason", "message")).exclude(user=user)
    launches = Launch.objects.filter(_naming(user, "note"))
    canaries = Canary.objects.filter(_naming(user, "reason", "hold_reason", "end_reason"))
    ramps = Ramp.objects.filter(_naming(user, "reason"))
    audits = AuditedAnswer.objects.filter(_naming(user, "note"))
    activations = Activation.objects.filter(_naming(user, "reason"))
    shadows = Shadow.objects.filter(_naming(user, "reason", "end_reason"))
    silences = Silence.objects.filter(_naming(user, "subject", "reason"))
    channels = AlertChannel.objects.filter(_naming(user, "name"))
    return [
        *(f"change {pk}" for pk in changes.order_by("pk").values_list("pk", flat=True)),
        *(f"call {pk}" for pk in calls.order_by("pk").values_list("pk", flat=True)),
        *(f"rates {pk}" for pk in others.order_by("pk").values_list("pk", flat=True)),
        *(f"block {pk}" for pk in blocked.order_by("pk").values_list("pk", flat=True)),
        *(f"launch {pk}" for pk in launches.order_by("pk").values_list("pk", flat=True)),
        *(f"ramp {pk}" for pk in ramps.order_by("pk").values_list("pk", flat=True)),
        *(f"canary {pk}" for pk in canaries.order_by("pk").values_list("pk", flat=True)),
        *(f"activation {pk}" for pk in activations.order_by("pk").values_list("pk", flat=True)),
        *(f"audited answer {pk}" for pk in audits.order_by("pk").values_list("pk", flat=True)),
        *(f"shadow {pk}" for pk in shadows.order_by("pk").values_list("pk", flat=True)),
        *(f"silence {pk}" for pk in silences.order_by("pk").values_list("pk", flat=True)),
        *(f"channel {pk}" for pk in channels.order_by("pk").values_list("pk", flat=True)),
    ]


def changes_naming(user: User) -> QuerySet[ControlChange]:
    """Return audit rows that contain the user's name."""
    return ControlChange.objects.filter(_naming(user, "old", "new", "reason"))


def _naming(user: User, *fields: str) -> Q:
    condition = Q(pk=None)
    for name in _names(user):
        for field in fields:
            condition |= Q(**{f"{field}__iregex": _as_word(name)})
    return condition


def _names(user: User) -> list[str]:
    own = (user.get_username(), user.email, user.get_full_name())
    return [name for name in own if name and name != erased_name(user)]


def _as_word(name: str) -> str:
    """Return a pattern with the same meaning in Python and PostgreSQL."""
    escaped = re.sub(r"([^0-9A-Za-z_\u0080-\U0010ffff])", r"\\\1", name)
    return rf"(^|\W){escaped}($|\W)"
