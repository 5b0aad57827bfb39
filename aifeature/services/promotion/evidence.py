"""Evidence: the verdict on all outcomes of a prompt under the same conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.core.serializers.python import Deserializer, Serializer
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from aifeature.models import Evidence
from aifeature.services.promotion.subjects import Subject
from aifeature.services.provider import account

FIELDS: Final = tuple(
    field.name
    for field in Evidence._meta.concrete_fields  # noqa: SLF001 (public in Django)
    if field.name != "created_at"
)

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
        origin: What made it.
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
    return [{"id": str(each["pk"]), **each["fields"]} for each in found]


def load(rows: Iterable[Mapping[str, Any]], *, origin: Evidence.Origin) -> int:
    """Store evidence from another database, unless it is known. Return the number of new rows.

    Raises:
        ValidationError, DeserializationError: a row is not one that `dump` returned.
    """
    model = Evidence._meta.label_lower  # noqa: SLF001 (public in Django)
    count = 0
    with transaction.atomic():
        for row in rows:
            fields = {**row, "origin": origin}
            pk = fields.pop("id")
            if Evidence.objects.filter(pk=pk).exists():
                continue
            for each in Deserializer([{"model": model, "pk": pk, "fields": fields}]):
                each.object.clean_fields(exclude=MAY_BE_EMPTY)
                each.object.save(force_insert=True)
                count += 1
    return count
