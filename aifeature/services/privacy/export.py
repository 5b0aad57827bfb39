"""All that is stored on a person as one JSON document, made piece by piece."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from django.contrib.admin.models import LogEntry
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import Model, QuerySet
from django.utils import timezone

from aifeature.models import (
    ApiToken,
    Attempt,
    ControlChange,
    Job,
    Launch,
    RateOverride,
    SignIn,
    SpendWindow,
)
from aifeature.services.privacy import records
from aifeature.services.sign_in import sign_ins

if TYPE_CHECKING:
    from django.contrib.auth.models import User

CHUNK: Final = 20
"""Jobs held in memory at once, with their calls: each may hold a document of a megabyte."""

_SECRETS: Final = frozenset({"password", "digest"})
"""Columns that would let the reader in; they say nothing of the person."""


def document(user: User) -> Iterator[str]:
    """The document's text in pieces: a hundred thousand jobs need no more memory than twenty.

    A column that is added later is in it by itself. Use the pieces up: a transaction is open
    meanwhile.
    """
    with transaction.atomic():  # a server-side cursor lives in one
        yield '{"exported_at": ' + _text(timezone.now())
        for name, rows in _parts(user):
            yield f",\n{_text(name)}: "
            yield from _array(rows)
        yield f',\n"account": {_text(_account(user))}}}\n'


def _parts(user: User) -> Iterator[tuple[str, Iterable[Any]]]:
    yield "jobs", _jobs(user)
    yield "calls_without_a_job", _plain(Attempt.objects.filter(user=user, job=None))
    yield "api_tokens", _plain(ApiToken.objects.filter(user=user))
    yield "sessions", ({"expires_at": row.expire_date} for row in sign_ins.of(user))
    yield "browsers", _browsers(user)
    yield "sign_ins", (row for rows in records.sign_ins(user) for row in _plain(rows))
    yield "invited_to", records.invitations(user).values_list("feature", flat=True)
    yield "rate_overrides", _plain(records.rate_overrides(user))
    yield "rate_overrides_made", _made(RateOverride.objects.filter(created_by=user))
    yield "launches_announced", _plain(Launch.objects.filter(announced_by=user))
    yield "changes_made", _plain(ControlChange.objects.filter(user=user))
    yield "changes_that_name_you", _plain(records.changes_naming(user))
    yield "calls_settled_by_you", _settled(user)
    yield "admin_log_by_you", _plain(LogEntry.objects.filter(user=user))
    yield "admin_log_about_you", _plain(records.log_about(user))
    yield "admin_log_about_your_jobs", _plain(records.log_about_work(user))
    own = SpendWindow.objects.filter(scope="user", key__endswith=f":{user.pk}")
    yield "charges_by_day", _plain(own)
    account = SpendWindow.objects.filter(scope="account", key=str(user.pk))
    yield "charges_of_all_features_by_day", _plain(account)


def _browsers(user: User) -> Iterator[dict[str, Any]]:
    """Where somebody is signed in, without the keys that would let the reader in."""
    for row in SignIn.objects.filter(user=user):
        yield {"browser": row.browser, "since": row.created_at}


def _settled(user: User) -> Iterator[dict[str, Any]]:
    """What an operator did to calls of others, without these calls' content."""
    for row in Attempt.objects.filter(settled_by=user).order_by("settled_at"):
        yield {"id": row.id, "at": row.settled_at, "reason": row.settled_reason}


def _made(overrides: QuerySet[RateOverride]) -> Iterator[dict[str, Any]]:
    """What an operator excepted, without for whom."""
    for row in overrides.order_by("pk"):
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
        yield {**_row(job), "calls": calls.get(job.pk, [])}


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
    between = "["
    for row in rows:
        yield between + "\n  " + _text(row)
        between = ","
    yield "[]" if between == "[" else "\n]"


def _text(value: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
