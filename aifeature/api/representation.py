"""API representations of jobs and features."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from django.urls import reverse

from aifeature import money
from aifeature.api.schemas import (
    DayUsage,
    FeatureLinks,
    FeatureOut,
    FeatureUsageOut,
    JobError,
    JobOut,
    RateLeft,
    Usage,
)
from aifeature.models import TERMINAL, Job, Status
from aifeature.services.feedback import votes
from aifeature.services.jobs.usage import FeatureUsage
from aifeature.services.privacy import retention
from aifeature.spec import Feature

NAMESPACE: Final = "api"


def job_path(job: Job) -> str:
    return reverse(f"{NAMESPACE}:get_job", kwargs={"job_id": job.id})


def job_out(job: Job) -> JobOut:
    status = Status(job.status)
    return JobOut(
        id=job.id,
        feature=job.feature,
        status=status,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        # The user must not read an answer that needs approval or was rejected.
        approval_expires_at=job.approval_expires_at if status is Status.NEEDS_APPROVAL else None,
        result=job.result if status is Status.SUCCEEDED else None,
        partial_text=job.partial_text or None,
        degraded=job.degraded,
        error=_error(job, status),
        model=job.model or None,
        prompt_version=job.prompt_version or None,
        usage=Usage(
            input_tokens=job.input_tokens,
            output_tokens=job.output_tokens,
            cache_read_tokens=job.cache_read_tokens,
            cache_write_tokens=job.cache_write_tokens,
        ),
        cost_usd=money.exact(job.charge_micro),
        attempts=job.attempts,
        links=_links(job, status),
    )


def feature_out(feature: Feature) -> FeatureOut:
    return FeatureOut(
        slug=feature.slug,
        title=feature.title,
        description=feature.description,
        input_schema=feature.input_model.model_json_schema(),
        output_schema=feature.output_schema,
        max_input_bytes=feature.limits.max_input_bytes,
        links=FeatureLinks(
            submit=reverse(f"{NAMESPACE}:submit_job", kwargs={"slug": feature.slug})
        ),
    )


def usage_out(usage: FeatureUsage) -> FeatureUsageOut:
    rate, refusal = usage.rate, usage.refusal
    return FeatureUsageOut(
        feature=usage.feature.slug,
        requests_today=usage.today,
        by_day=[DayUsage(day=day, requests=count) for day, count in usage.days.items()],
        charged_today_usd=money.exact(usage.charged_micro),
        allowance_used=usage.used,
        about_left=usage.about_left,
        rate=None if rate is None else RateLeft(**asdict(rate)),
        refused=None if refusal is None else JobError(code=refusal.code, message=refusal.detail),
    )


def _error(job: Job, status: Status) -> JobError | None:
    """Return why there is no result or, if queued, why it waits; None for a running job."""
    if status is Status.SUCCEEDED and (gone := retention.deletion_notice(job)):
        return JobError(code="content_deleted", message=gone)
    if status is Status.QUEUED:
        code = job.wait_reason
    elif status in TERMINAL - {Status.SUCCEEDED}:
        code = job.error_code
    else:
        code = ""
    return JobError(code=code, message=job.error_message) if code else None


def _links(job: Job, status: Status) -> dict[str, str]:
    links = {"self": job_path(job)}
    if status not in TERMINAL:
        links["events"] = reverse(f"{NAMESPACE}:job_events", kwargs={"job_id": job.id})
    if status not in TERMINAL and job.cancel_requested_at is None:
        links["cancel"] = reverse(f"{NAMESPACE}:cancel_job", kwargs={"job_id": job.id})
    if votes.may_rate(job):
        links["feedback"] = reverse(f"{NAMESPACE}:rate_job", kwargs={"job_id": job.id})
    return links
