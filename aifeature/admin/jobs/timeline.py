"""The timeline of one job for the top of its page, from its row and its provider calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from aifeature.admin.common.names import GUARD_COLOURS, STATE_COLOURS, STATUS_COLOURS, title_of
from aifeature.admin.common.show import as_sent, content, dollars, money, span, utc
from aifeature.models import Attempt, AttemptState, CancelledBy, GuardEvent, Job, Origin, Status
from aifeature.services.privacy import retention

SHOWN = 20_000
"""Characters of each text of a call on the job's page. The call's own page shows all."""

CANCELLED_BY: dict[str, str] = {
    CancelledBy.USER: "by the user",
    CancelledBy.STAFF: "by staff, in admin",
    CancelledBy.SWITCH: "by the kill switch",
    CancelledBy.ERASURE: "because the account is erased",
    CancelledBy.ACCOUNT: "because the account is closed",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the timeline."""

    at: datetime
    title: str
    detail: str = ""
    colour: str = ""
    """A colour of Unfold's labels, or `future`."""
    label: str = ""
    url: str = ""


def of_job(
    job: Job, calls: Sequence[Attempt] | None, events: Iterable[GuardEvent] = ()
) -> dict[str, Any]:
    """Return the context of the template. `calls` is None for visitors who may not view calls."""
    return {
        "status": job.get_status_display(),
        "colour": STATUS_COLOURS.get(job.status, ""),
        "title": title_of(job.feature),
        "message": job.error_message,
        "facts": list(_facts(job, calls)),
        "moments": [_shown(moment, job) for moment in timeline(job, calls or (), events)],
        "result": content(job.result or job.partial_text or retention.deletion_notice(job)),
        "result_title": "Shown before the user cancelled" if job.partial_text else "Result",
        "input": content(job.input or retention.deletion_notice(job)),
        "calls": None if calls is None else [_call(call) for call in calls],
    }


def timeline(
    job: Job, calls: Iterable[Attempt], guarded: Iterable[GuardEvent] = ()
) -> list[Moment]:
    """Return past and due events in order of time."""
    moments = [
        *_beginning(job),
        *(_guarded(event) for event in guarded),
        *(_called(call) for call in calls),
        *_end(job),
    ]
    return sorted(moments, key=lambda moment: moment.at)


def _beginning(job: Job) -> Iterator[Moment]:
    yield Moment(job.created_at, "Submitted", f"by {job.user.get_username()}")
    if job.published_at:
        yield Moment(job.published_at, "Published", "its ID was last sent to the workers' queue")
    if job.started_at:
        yield Moment(job.started_at, "First claimed by a worker", colour="info")
    if job.cancel_requested_at:
        by = CANCELLED_BY.get(job.cancelled_by, "")
        yield Moment(job.cancel_requested_at, "Cancellation requested", by, colour="warning")


def _end(job: Job) -> Iterator[Moment]:
    if job.finished_at:
        took = f"after {span((job.finished_at - job.created_at).total_seconds())}"
        detail = f"{took}, code {job.error_code}" if job.error_code else took
        colour = STATUS_COLOURS.get(job.status, "")
        yield Moment(job.finished_at, job.get_status_display(), detail, colour)
    if job.status == Status.QUEUED and job.epoch:
        why = f"back in the queue: {job.wait_reason}" if job.wait_reason else "back in the queue"
        yield Moment(job.run_at, "Due again", why, "warning")
    if job.status == Status.RUNNING and job.lease_until:
        yield Moment(job.lease_until, "Lease ends", f"unless {job.worker} extends it", "future")
    if job.status in {Status.QUEUED, Status.RUNNING}:
        yield Moment(job.deadline_at, "Deadline", "the job fails if it has not ended", "future")
    if job.status == Status.NEEDS_APPROVAL and job.approval_expires_at:
        detail = "the job fails if no person has decided"
        yield Moment(job.approval_expires_at, "Approval expires", detail, "future")


def _called(call: Attempt) -> Moment:
    return Moment(
        call.started_at,
        f"Call {call.number}: {call.get_purpose_display().lower()}, {call.model}",
        " · ".join(_outcome(call)),
        STATE_COLOURS.get(call.state, ""),
        call.get_state_display(),
        _url(call),
    )


def _guarded(event: GuardEvent) -> Moment:
    times = f" ({event.count} times)" if event.count > 1 else ""
    where = event.get_stage_display().lower()
    return Moment(
        event.at,
        f"Guard, {where}: {event.guard.replace('_', ' ')}, {event.category.replace('_', ' ')}",
        f"{event.evidence}{times}".strip(),
        GUARD_COLOURS.get(event.action, ""),
        event.get_action_display(),
        reverse("admin:aifeature_guardevent_change", args=(event.pk,)),
    )


def _outcome(call: Attempt) -> Iterator[str]:
    if call.reason:
        yield call.reason
    if call.error_code:
        yield call.error_code
    if call.latency_ms is not None:
        first = "" if call.ttft_ms is None else f" (first text after {_seconds(call.ttft_ms)})"
        yield f"{_seconds(call.latency_ms)}{first}"
    yield from _bill(call)
    if call.stop_reason:
        yield f"stopped: {call.stop_reason}"
    if call.settled_at:
        yield f"settled by hand on {utc(call.settled_at)}"


def _bill(call: Attempt) -> Iterator[str]:
    match call.state:
        case AttemptState.STARTED | AttemptState.UNKNOWN:
            yield f"counted at its upper bound, {money(call.bound_micro)}"
        case AttemptState.ESTIMATED:
            yield f"{_tokens(call)} reported before it was cut off"
            yield f"counted at its ceiling, {money(call.cost_micro)}"
        case _:
            yield _tokens(call)
            yield money(call.cost_micro)
            if call.cache_saved_micro > 0:
                yield f"{dollars(call.cache_saved_micro)} saved by the cache"
            elif call.cache_saved_micro < 0:
                yield f"{dollars(-call.cache_saved_micro)} spent on filling the cache"


def _tokens(row: Attempt | Job) -> str:
    parts = [f"{row.input_tokens:,} in", f"{row.output_tokens:,} out"]
    if row.cache_read_tokens or row.cache_write_tokens:
        parts.append(f"cache {row.cache_read_tokens:,} read, {row.cache_write_tokens:,} written")
    return ", ".join(parts) + " tokens"


def _facts(job: Job, calls: Sequence[Attempt] | None) -> Iterator[tuple[str, str]]:
    yield "Job", str(job.pk)
    yield "User", job.user.get_username()
    if job.origin != Origin.USER:
        yield "Origin", f"{job.get_origin_display()}. It is in no figure about users."
    if job.requeued_from_id:
        yield "Requeued from", _link(job.requeued_from_id)
    if later := job.requeued.only("pk").first():
        yield "Requeued as", _link(later.pk)
    if job.wait_reason:
        yield "Waiting for", job.wait_reason
    elif job.error_code:
        yield "Code", job.error_code
    if job.approval_reason:
        yield "Needs a person", job.approval_reason
    yield "Charged to the user", dollars(job.charge_micro)
    if calls is not None:
        yield "Spent with the provider", dollars(sum(call.spend_micro for call in calls))
    yield "Calls", str(job.attempts)
    yield "Failed runs", str(job.tries)
    yield from _answered_by(job)
    if job.worker:
        yield "Last worker", job.worker
    if gone := retention.deletion_notice(job):
        yield "Content", gone


def _answered_by(job: Job) -> Iterator[tuple[str, str]]:
    if job.degraded:
        yield "Answered by", "the feature's plain answer, without a model"
    if job.model:
        yield "Answered by", f"{job.model}, prompt {job.prompt_version}"
        yield "Tokens", _tokens(job)


def _shown(moment: Moment, job: Job) -> dict[str, Any]:
    after = (moment.at - job.created_at).total_seconds()
    return {
        "after": f"+{span(after)}" if after >= 0 else f"-{span(-after)}",
        "at": utc(moment.at),
        "title": moment.title,
        "detail": moment.detail,
        "colour": moment.colour,
        "label": moment.label,
        "url": moment.url,
    }


def _call(call: Attempt) -> dict[str, Any]:
    return {
        "title": f"Call {call.number}: {call.get_purpose_display().lower()}",
        "model": call.model,
        "prompt": f"prompt {call.prompt_version}",
        "state": call.get_state_display(),
        "colour": STATE_COLOURS.get(call.state, ""),
        "outcome": " · ".join(_outcome(call)),
        "error": call.error_detail,
        "url": _url(call),
        "texts": [_cut(title, text) for title, text in _texts(call)],
    }


def _texts(call: Attempt) -> Iterator[tuple[str, str]]:
    yield from as_sent(call.request)
    if call.output:
        yield "Answer as received", call.output


def _cut(title: str, text: str) -> dict[str, Any]:
    return {"title": title, "text": text[:SHOWN], "more": max(len(text) - SHOWN, 0)}


def _seconds(milliseconds: int) -> str:
    return span(milliseconds / 1000)


def _link(job_id: UUID) -> SafeString:
    url = reverse("admin:aifeature_job_change", args=(job_id,))
    return format_html('<a class="aif-link" href="{}">{}</a>', url, job_id)


def _url(call: Attempt) -> str:
    return reverse("admin:aifeature_attempt_change", args=(call.pk,))
