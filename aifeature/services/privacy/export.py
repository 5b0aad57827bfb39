"""Export of a user's data as one JSON document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from django.contrib.admin.models import LogEntry
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from aifeature import registry
from aifeature.models import (
    AccessBlock,
    Activation,
    Alert,
    AlertChannel,
    ApiToken,
    Attempt,
    AuditedAnswer,
    ControlChange,
    Feedback,
    GuardEvent,
    Job,
    JobSignal,
    Launch,
    NpsAnswer,
    Ramp,
    RateOverride,
    Shadow,
    SignIn,
    Silence,
    SpendWindow,
    Status,
)
from aifeature.services.privacy import records
from aifeature.services.sign_in import sign_ins

if TYPE_CHECKING:
    from django.contrib.auth.models import User

CHUNK: Final = 20
"""Jobs in memory at the same time, with their calls. Each may hold a document of a megabyte."""

WITHHELD: Final = "withheld: no person has approved this answer"
NOT_SHOWN: Final = "withheld: words of an answer that a guard stopped"

_SECRETS: Final = frozenset({"password", "digest"})
"""Columns that could give a reader access. They hold no personal data."""


def document(user: User) -> Iterator[str]:
    """Yield the document's text in pieces, with memory for CHUNK jobs at most.

    New columns are included automatically. Consume all pieces: a transaction is open meanwhile.
    """
    with transaction.atomic():  # needed for a server-side cursor
        yield '{"exported_at": ' + _text(timezone.now())
        for name, rows in _parts(user):
            yield f",\n{_text(name)}: "
            yield from _array(rows)
        yield f',\n"account": {_text(_account(user))}}}\n'


def _parts(user: User) -> Iterator[tuple[str, Iterable[Any]]]:
    yield "jobs", _jobs(user)
    yield "calls_without_a_job", _plain(Attempt.objects.filter(user=user, job=None))
    yield "guard_events", (_found_in(row) for row in records.guard_events(user).order_by("pk"))
    yield "feedback", _plain(Feedback.objects.filter(user=user))
    yield "signals_and_outcomes", _plain(JobSignal.objects.filter(user=user))
    yield "nps_answers", _plain(NpsAnswer.objects.filter(user=user))
    yield "api_tokens", _plain(ApiToken.objects.filter(user=user))
    yield "sessions", ({"expires_at": row.expire_date} for row in sign_ins.of(user))
    yield "browsers", _browsers(user)
    yield "sign_ins", (row for rows in records.sign_ins(user) for row in _plain(rows))
    yield "invited_to", records.invitations(user).values_list("feature", flat=True)
    yield "betas_joined", _plain(records.betas(user))
    yield "blocks", _plain(records.blocks(user))
    yield "blocks_made", _made(AccessBlock.objects.filter(created_by=user))
    yield "rate_overrides", _plain(records.rate_overrides(user))
    yield "rate_overrides_made", _made(RateOverride.objects.filter(created_by=user))
    yield "refused_submissions", _plain(records.refused_submissions(user))
    yield "answered_again", _answered_again(user)
    yield "shadows_started", _plain(Shadow.objects.filter(created_by=user))
    yield "ramps_started", _plain(Ramp.objects.filter(created_by=user))
    yield "launches_announced", _plain(Launch.objects.filter(announced_by=user))
    yield "silences_made", _plain(Silence.objects.filter(created_by=user))
    yield "alerts_handled", _handled(user)
    yield "alert_channels_added", _channels(user)
    yield "changes_made", _plain(ControlChange.objects.filter(user=user))
    yield "prompts_activated", _plain(Activation.objects.filter(user=user))
    yield "changes_that_name_you", _plain(records.changes_naming(user))
    yield "calls_settled_by_you", _settled(user)
    yield "answers_audited_by_you", _audited(user)
    yield "admin_log_by_you", _plain(LogEntry.objects.filter(user=user))
    yield "admin_log_about_you", _plain(records.log_about(user))
    yield "admin_log_about_your_jobs", _plain(records.log_about_work(user))
    own = SpendWindow.objects.filter(scope="user", key__endswith=f":{user.pk}")
    yield "charges_by_day", _plain(own)
    account = SpendWindow.objects.filter(scope="account", key=str(user.pk))
    yield "charges_of_all_features_by_day", _plain(account)


def _found_in(event: GuardEvent) -> dict[str, Any]:
    """Return the row without words of an answer: a guard stopped it, or it holds a secret."""
    is_own = event.stage == GuardEvent.Stage.INPUT or not event.evidence
    return _row(event) if is_own else {**_row(event), "evidence": NOT_SHOWN}


def _browsers(user: User) -> Iterator[dict[str, Any]]:
    """Yield the user's sessions without their keys, which could give a reader access."""
    for row in SignIn.objects.filter(user=user):
        yield {"browser": row.browser, "since": row.created_at}


def _answered_again(user: User) -> Iterator[dict[str, Any]]:
    """Yield the requests that a candidate of a prompt answered again, as a test.

    Without the candidate's answer: no user was shown it, and no person approved it. The input is
    that of the job, and both copies are deleted with it.
    """
    for row in records.shadow_pairs(user).order_by("pk"):
        yield {"job": row.job_id, "at": row.created_at}


def _handled(user: User) -> Iterator[dict[str, Any]]:
    """Yield the alerts that the user acknowledged, or that are assigned to the user."""
    mine = Q(acknowledged_by=user) | Q(assigned_to=user)
    for row in Alert.objects.filter(mine).order_by("pk"):
        at = row.acknowledged_at if row.acknowledged_by_id == user.pk else None
        yield {"kind": row.kind, "subject": row.subject, "acknowledged_at": at}


def _channels(user: User) -> Iterator[dict[str, Any]]:
    """Yield the user's channels without their addresses, which could give a reader access."""
    for row in AlertChannel.objects.filter(created_by=user).order_by("pk"):
        yield {"name": row.name, "at": row.created_at}


def _settled(user: User) -> Iterator[dict[str, Any]]:
    """Yield the user's settlements of calls, without content of the calls."""
    for row in Attempt.objects.filter(settled_by=user).order_by("settled_at"):
        yield {"id": row.id, "at": row.settled_at, "reason": row.settled_reason}


def _audited(user: User) -> Iterator[dict[str, Any]]:
    """Yield the labels that the user gave to answers, without the answers."""
    for row in AuditedAnswer.objects.filter(labelled_by=user).order_by("labelled_at"):
        yield {"id": row.pk, "at": row.labelled_at, "label": row.label, "note": row.note}


def _made(
    rows: QuerySet[RateOverride] | QuerySet[AccessBlock],
) -> Iterator[dict[str, Any]]:
    """Yield the rows that the user created, without the users they apply to."""
    for row in rows.order_by("pk"):
        yield {"id": row.pk, "at": row.created_at, "feature": row.feature, "reason": row.reason}


def _account(user: User) -> dict[str, Any]:
    return {
        **_row(user),
        "groups": [group.name for group in user.groups.all()],
        "permissions": [permission.codename for permission in user.user_permissions.all()],
    }


def _jobs(user: User) -> Iterator[dict[str, Any]]:
    rows = Job.objects.filter(user=user).order_by("created_at", "id")
    chunk: list[Job] = []
    for job in rows.iterator(chunk_size=CHUNK):
        chunk.append(job)
        if len(chunk) == CHUNK:
            yield from _with_calls(chunk)
            chunk = []
    yield from _with_calls(chunk)


def _with_calls(jobs: list[Job]) -> Iterator[dict[str, Any]]:
    rows = Attempt.objects.filter(job__in=jobs).order_by("job_id", "number")
    calls = {job: [_row(row) for row in group] for job, group in groupby(rows, _job_of)}
    for job in jobs:
        yield _released({**_row(job), "calls": calls.get(job.pk, [])}, job)


def _released(row: dict[str, Any], job: Job) -> dict[str, Any]:
    """Leave out an answer that a person has not approved, also where the calls contain it."""
    if not _is_withheld(job):
        return row
    calls = [{**call, "request": None, "output": WITHHELD} for call in row["calls"]]
    return {**row, "result": None, "approval_reason": WITHHELD, "calls": calls}


def _is_withheld(job: Job) -> bool:
    """Whether a person has not approved its answer, or a cancellation came before that question."""
    feature = registry.find(job.feature)
    asks = feature is not None and feature.approval is not None
    return job.is_withheld or (asks and job.status != Status.SUCCEEDED)


def _job_of(call: Attempt) -> Any:
    return call.job_id


def _plain(rows: QuerySet[Any]) -> Iterator[dict[str, Any]]:
    return (_row(row) for row in rows.order_by("pk").iterator(chunk_size=CHUNK))


def _row(row: Model) -> dict[str, Any]:
    fields = row._meta.concrete_fields  # noqa: SLF001 (Django's documented API)
    return {
        field.name: field.value_from_object(row) for field in fields if field.name not in _SECRETS
    }


def _array(rows: Iterable[Any]) -> Iterator[str]:
    separator = "["
    for row in rows:
        yield separator + "\n  " + _text(row)
        separator = ","
    yield "[]" if separator == "[" else "\n]"


def _text(value: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
