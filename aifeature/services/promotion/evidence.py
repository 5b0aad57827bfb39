"""Evidence: the verdict on all outcomes of a prompt under the same conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.serializers.base import DeserializationError
from django.core.serializers.python import Deserializer, Serializer
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from aifeature.models import Evidence
from aifeature.services.promotion.subjects import Conditions, Subject
from aifeature.services.provider import account

FIELDS: Final = tuple(
    field.name
    for field in Evidence._meta.concrete_fields  # noqa: SLF001 (public in Django)
    if field.name != "created_at"
)

UNREADABLE: Final = (ValidationError, DeserializationError)
"""The errors of `load`."""

MAY_BE_EMPTY: Final = {"outcomes", "runs", "answered_by", "fresh_until", "conditions"}


def record(
    subject: Subject,
    *,
    live_hash: str,
    verdict: Mapping[str, Any],
    outcomes: Mapping[str, Any],
    runs: Iterable[str],
    answered_by: Iterable[str],
    measured_at: datetime,
    origin: Evidence.Origin,
) -> Evidence:
    """Store the verdict on all that is known of a subject. It counts from now on.

    Args:
        subject: The prompt and the conditions.
        live_hash: Hash of the live prompt that it was compared with; empty if none was live.
        verdict: `decision` and its figures. Only the decision `pass` is a proof.
        outcomes: By case, each repeat with its call.
        runs: Ids of the runs of these outcomes.
        answered_by: The models that answered, as the provider named them.
        measured_at: The end of the newest run.
        origin: The command or task that made it.
    """
    days = timedelta(days=settings.AIFEATURE["EVIDENCE_DAYS"])
    return Evidence.objects.create(
        feature=subject.feature,
        version=subject.version,
        provider=subject.conditions.provider,
        prompt_hash=subject.prompt_hash,
        fingerprint=subject.fingerprint,
        conditions=asdict(subject.conditions),
        live_hash=live_hash,
        passed=verdict["decision"] == "pass",
        verdict=dict(verdict),
        outcomes=dict(outcomes),
        runs=sorted(runs),
        answered_by=sorted(answered_by),
        account=account.name(),
        origin=origin,
        measured_at=measured_at,
        fresh_until=measured_at + days,
    )


def newest(subject: Subject) -> Evidence | None:
    """Return the evidence that counts for a subject, of any age, passed or not."""
    return _of_fingerprint(subject.fingerprint).first()


def newest_of_prompt(feature: str, provider: str, prompt_hash: str) -> QuerySet[Evidence]:
    """Return all evidence of a prompt under any conditions, newest first."""
    rows = Evidence.objects.filter(feature=feature, provider=provider, prompt_hash=prompt_hash)
    return rows.order_by("-created_at", "-id")


def pooled(fingerprint: str) -> list[Evidence]:
    """Return the fresh evidence of a fingerprint, newest first: its outcomes count together."""
    fresh = Q(fresh_until=None) | Q(fresh_until__gt=Now())
    return list(_of_fingerprint(fingerprint).filter(fresh))


def _of_fingerprint(fingerprint: str) -> QuerySet[Evidence]:
    return Evidence.objects.filter(fingerprint=fingerprint).order_by("-created_at", "-id")


def dump(rows: Iterable[Evidence]) -> list[dict[str, Any]]:
    """Return evidence as JSON values, for `load`."""
    found = Serializer().serialize(rows, fields=FIELDS)
    return [{"id": str(each["pk"]), **_jsonable(each["fields"])} for each in found]


def _jsonable(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in fields.items()
    }


def contradiction(row: Mapping[str, Any]) -> str:
    """Return how a row of `dump` contradicts itself; empty if it does not."""
    try:
        conditions = Conditions(**row["conditions"])
        subject = Subject(row["feature"], row["version"], row["prompt_hash"], conditions)
        is_pass = row["verdict"]["decision"] == "pass"
        if row["fingerprint"] != subject.fingerprint or row["provider"] != conditions.provider:
            return "Its fingerprint is not that of its prompt and its conditions."
        return "" if row["passed"] is is_pass else "It contradicts its own verdict."
    except (KeyError, TypeError) as error:
        return f"It is incomplete ({error})."


def load(rows: Iterable[Mapping[str, Any]], *, origin: Evidence.Origin) -> int:
    """Store evidence from another database, oldest first, and return the number of new rows.

    A row is left out if it is known, or if this database has evidence of its fingerprint that was
    measured later: what was measured last counts.

    Raises:
        ValidationError, DeserializationError: a row is not one that `dump` returned.
    """
    model = Evidence._meta.label_lower  # noqa: SLF001 (public in Django)
    count = 0
    with transaction.atomic():
        for row in rows:
            if problem := contradiction(row):
                raise ValidationError(f"{row.get('feature')} {row.get('version')}: {problem}")
            fields = {**row, "origin": origin}
            pk = fields.pop("id")
            later = Q(fingerprint=row["fingerprint"], measured_at__gt=row["measured_at"])
            if Evidence.objects.filter(Q(pk=pk) | later).exists():
                continue
            for each in Deserializer([{"model": model, "pk": pk, "fields": fields}]):
                each.object.clean_fields(exclude=MAY_BE_EMPTY)
                each.object.save(force_insert=True)
                count += 1
    return count
