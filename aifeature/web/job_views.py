"""The page of a job, and the history of a user's jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from aifeature import registry
from aifeature.models import TERMINAL, Job, Status
from aifeature.services import jobs
from aifeature.services.jobs.refusals import NotFound
from aifeature.services.texts import references
from aifeature.web import feedback, history, receipt, rows, show
from aifeature.web.history import Position, Wanted
from aifeature.web.sign_in import signed_in

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from aifeature.spec import Feature

SEE_OTHER = 303
MAX_QUERY = 200
"""Maximum characters of a search."""


@never_cache
@require_safe
@signed_in
def job_page(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Show a job. While it is in progress, the page's script follows its stream.

    With `?part` the response is only the part that changes, for the script.

    Raises:
        Http404: The user has no such job.
    """
    job = _own(request, job_id)
    template = "aifeature/job/body.html" if "part" in request.GET else "aifeature/job.html"
    return render(request, template, _about(request, job))


@require_POST
@signed_in
def cancel_job(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Cancel the job, or request that its worker stops; then redirect to its page.

    Raises:
        Http404: The user has no such job.
    """
    try:
        jobs.cancel(user=cast("User", request.user), job_id=job_id)
    except NotFound:
        raise Http404 from None
    return HttpResponseRedirect(reverse("job", kwargs={"job_id": job_id}), status=SEE_OTHER)


@never_cache
@require_safe
@signed_in
def jobs_page(request: HttpRequest) -> HttpResponse:
    user = cast("User", request.user)
    wanted = _wanted(request)
    page = history.page(user, wanted)
    if not page.jobs and (wanted.older_than or wanted.newer_than):
        return HttpResponseRedirect(_address(wanted))  # past the end: show the first page
    context = {
        "rows": [rows.row(job) for job in page.jobs],
        "older": _address(wanted, older=page.older) if page.older else None,
        "newer": _address(wanted, newer=page.newer) if page.newer else None,
        "wanted": wanted,
        "features": _used_by(user),
        "statuses": [(status.value, show.label(status)) for status in Status],
        "searched": f"{history.SEARCHED:,}",
    }
    return render(request, "aifeature/history.html", context)


def _used_by(user: User) -> list[Feature]:
    """Return the features of the user's own jobs. A filter by another one would find nothing."""
    used = history.slugs(user)
    return [feature for slug, feature in registry.offered().items() if slug in used]


def _own(request: HttpRequest, job_id: UUID) -> Job:
    try:
        return jobs.get(user=cast("User", request.user), job_id=job_id)
    except NotFound:
        raise Http404 from None


def _about(request: HttpRequest, job: Job) -> dict[str, Any]:
    feature = show.feature_of(job)
    status = Status(job.status)
    usable = {each.slug for each in jobs.visible_features(user=cast("User", request.user))}
    follow_up = show.follow_up(job)
    span = show.took(job, timezone.now())
    return {
        "job": job,
        "title": show.title(job),
        "state": show.state(job),
        "is_under_way": status in show.UNDER_WAY,
        "is_ended": status in TERMINAL,
        "is_in_review": status is Status.NEEDS_APPROVAL,
        "is_done": status is Status.SUCCEEDED,
        "may_cancel": status not in TERMINAL and job.cancel_requested_at is None,
        "feature": feature if job.feature in usable else None,
        "stream_label": show.stream_label(feature),
        "answer": show.answer(job),
        "cited": show.cited(job),
        "follow_up": follow_up if follow_up and follow_up.feature in usable else None,
        "receipt": receipt.lines(job, feature, is_staff=request.user.is_staff)
        if status is Status.SUCCEEDED and job.result is not None
        else [],
        "question": show.question(job),
        "reference": references.of_job(job.id) if show.is_failure(job) else "",
        "nothing_left": rows.nothing_left(job),
        "took": show.duration(span),
        "took_ms": round(span.total_seconds() * 1000),
        "is_thanked": "thanks" in request.GET,
        **feedback.context(cast("User", request.user), job),
        "events": reverse("api:get_job", kwargs={"job_id": job.id}) + "/events",
    }


def _wanted(request: HttpRequest) -> Wanted:
    query = request.GET
    feature, status = query.get("feature", ""), query.get("status", "")
    return Wanted(
        text=query.get("q", "").replace("\0", "").strip()[:MAX_QUERY],
        feature=feature if feature in registry.all_features() else "",
        status=status if status in Status.values else "",
        older_than=Position.parse(query.get("older", "")),
        newer_than=Position.parse(query.get("newer", "")),
    )


def _address(
    wanted: Wanted, *, older: Position | None = None, newer: Position | None = None
) -> str:
    places = {"older": older, "newer": newer}
    query = {"q": wanted.text, "feature": wanted.feature, "status": wanted.status, **places}
    kept = {name: str(value) for name, value in query.items() if value}
    return f"{reverse('history')}?{urlencode(kept)}" if kept else reverse("history")
