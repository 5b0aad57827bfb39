"""Rows of the tables with the most rows, written by COPY. Constraints and triggers stay on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection, models

from aifeature import prompts, registry
from aifeature.models import Attempt, Feedback, GuardEvent, Job, JobSignal, NpsAnswer
from aifeature.reasons import FailureCode
from aifeature.services import texts
from project.demo_data.opinions import Recommendation, Signal
from project.demo_data.rows import Call, Finding, Opinion, Request

PROVIDER: Final = "sandbox"
WORKER: Final = "llm@synthetic"
APPROVAL: Final = timedelta(days=3)

Row = Mapping[str, Any]
"""Values by field of the model."""


def copy(model: type[models.Model], rows: Iterable[Row]) -> int:
    """Write rows, which all have the same fields. Return their number."""
    values = iter(rows)
    first = next(values, None)
    if first is None:
        return 0
    by_name = {field.name: field for field in model._meta.concrete_fields}  # noqa: SLF001
    fields = [by_name[name] for name in first]
    columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    table = connection.ops.quote_name(model._meta.db_table)  # noqa: SLF001
    is_json = [isinstance(field, models.JSONField) for field in fields]
    count = 0
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as into,
    ):
        for row in (first, *values):
            pairs = zip(row.values(), is_json, strict=True)
            into.write_row([_json(value) if each else value for value, each in pairs])
            count += 1
    return count


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


class Rows:
    """Makes rows from what was generated."""

    def __init__(self, now: datetime, retention_days: Mapping[str, int], step: int | None) -> None:
        """`step` is the primary key of the canary's step."""
        self._now, self._retention, self._step = now, retention_days, step
        self._hashes: dict[tuple[str, str], str] = {}

    def job(self, request: Request) -> Row:
        """Return the row of a job."""
        accepted, blanked = request.accepted, self._blanked(request)
        is_success = request.status == "succeeded"
        usage = accepted.usage if accepted else None
        feature = registry.get(request.feature)
        options = {"canary": {"step": self._step, "arm": request.arm}} if request.arm else None
        waits = request.calls[-1].ended + APPROVAL if request.approval_reason else None
        return {
            "id": request.id,
            "user": request.user.pk,
            "feature": request.feature,
            "options": options,
            "status": request.status,
            "input": None if blanked else request.input,
            "result": None if blanked else request.result,
            "error_code": request.error_code,
            "error_message": "" if blanked else _message(request),
            "epoch": 1,
            "attempts": len(request.calls),
            "worker": WORKER,
            "created_at": request.created,
            "run_at": request.created,
            "deadline_at": request.created + timedelta(seconds=feature.limits.deadline_s),
            "published_at": request.created + timedelta(milliseconds=12),
            "started_at": request.started,
            "finished_at": request.finished,
            "content_blanked_at": blanked,
            "cancel_requested_at": request.finished if request.cancelled_by == "user" else None,
            "cancelled_by": request.cancelled_by,
            "model": accepted.model if accepted else "",
            "prompt_version": request.version if accepted else "",
            "input_tokens": usage.input_tokens if usage else 0,
            "output_tokens": usage.output_tokens if usage else 0,
            "cache_read_tokens": usage.cache_read_tokens if usage else 0,
            "cache_write_tokens": usage.cache_write_tokens if usage else 0,
            "charge_micro": accepted.cost_micro if accepted and is_success else 0,
            "degraded": request.degraded,
            "approval_reason": "" if blanked else request.approval_reason,
            "approval_expires_at": waits,
        }

    def calls(self, request: Request) -> Iterator[Row]:
        """Yield the rows of the ledger of a request."""
        for number, call in enumerate(request.calls, start=1):
            yield self._call(request, call, number)

    def _call(self, request: Request, call: Call, number: int) -> Row:
        is_settled = call.state == "settled"
        return {
            "id": call.id,
            "job": request.id,
            "user": request.user.pk,
            "feature": request.feature,
            "epoch": 1,
            "number": number,
            "purpose": call.purpose,
            "state": call.state,
            "own_spend": is_settled,
            "provider": PROVIDER,
            "model": call.model,
            "reason": call.reason,
            "prompt_version": request.version,
            "prompt_hash": self._hash(request.feature, request.version),
            "input_tokens": call.usage.input_tokens,
            "output_tokens": call.usage.output_tokens,
            "cache_read_tokens": call.usage.cache_read_tokens,
            "cache_write_tokens": call.usage.cache_write_tokens,
            "cost_micro": call.cost_micro,
            "cache_saved_micro": call.saved_micro,
            "bound_micro": call.bound_micro,
            "latency_ms": round((call.ended - call.began).total_seconds() * 1000),
            "ttft_ms": call.ttft_ms,
            "stop_reason": call.stop_reason,
            "request_id": f"synthetic-{call.id.hex[:12]}",
            "error_code": call.error_code,
            "day": call.began.date(),
            "started_at": call.began,
            "ended_at": call.ended,
        }

    def opinion(self, opinion: Opinion) -> Row:
        """Return the row of a rating."""
        request, accepted = opinion.request, opinion.request.accepted
        is_gone = self._blanked(request) is not None
        return {
            "job": request.id,
            "user": request.user.pk,
            "feature": request.feature,
            "rating": opinion.rating,
            "first_rating": opinion.rating,
            "reasons": opinion.reasons,
            "comment": "" if is_gone else opinion.comment,
            "answer": None if is_gone else request.result,
            "prompt_version": request.version,
            "model": accepted.model if accepted else "",
            "created_at": opinion.at,
            "changed_at": opinion.at,
        }

    def _blanked(self, request: Request) -> datetime | None:
        """Return when the content of a request was deleted; None if it is still kept."""
        if request.finished is None:
            return None
        at = request.finished + timedelta(days=self._retention[request.feature])
        return at if at < self._now else None

    def _hash(self, feature: str, version: str) -> str:
        key = (feature, version)
        if key not in self._hashes:
            self._hashes[key] = prompts.get(feature, version).hash
        return self._hashes[key]


def signal(each: Signal) -> Row:
    """Return the row of a signal."""
    return {
        "kind": each.kind,
        "name": each.name,
        "job": each.request.id,
        "user": each.request.user.pk,
        "feature": each.request.feature,
        "at": each.at,
    }


def recommendation(each: Recommendation) -> Row:
    """Return the row of an answer to the NPS question."""
    return {"user": each.person.pk, "feature": each.feature, "score": each.score, "at": each.at}


def finding(each: Finding) -> Row:
    """Return the row of a guard's event."""
    return {
        "at": each.at,
        "user": each.request.user.pk,
        "feature": each.request.feature,
        "job": each.request.id,
        "stage": each.stage,
        "guard": each.guard,
        "category": each.category,
        "action": each.action,
        "evidence": each.evidence,
    }


def write(
    rows: Rows,
    requests: Sequence[Request],
    *,
    opinions: Sequence[Opinion],
    signals: Iterable[Signal],
    recommendations: Iterable[Recommendation],
    findings: Iterable[Finding],
) -> dict[str, int]:
    """Write all rows. Return their number by table."""
    return {
        "jobs": copy(Job, map(rows.job, requests)),
        "calls": copy(Attempt, (row for each in requests for row in rows.calls(each))),
        "votes": copy(Feedback, map(rows.opinion, opinions)),
        "signals": copy(JobSignal, map(signal, signals)),
        "recommendations": copy(NpsAnswer, map(recommendation, recommendations)),
        "guard events": copy(GuardEvent, map(finding, findings)),
    }


def _message(request: Request) -> str:
    if not request.error_code:
        return ""
    return texts.FAILED[FailureCode(request.error_code)]
