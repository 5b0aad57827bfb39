"""Feedback on the page of a job: rating, NPS question, signals.

Without JavaScript each form leads back to the page. With it, the response is the part that changes.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseRedirect,
)
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from aifeature.models import Feedback, Job, Status
from aifeature.services import jobs
from aifeature.services.feedback import nps, reasons, signals, votes
from aifeature.services.feedback.refusals import NotEnded, NotRateable
from aifeature.services.feedback.signals import Signal
from aifeature.services.jobs.refusals import InvalidInput, NotFound
from aifeature.web import show
from aifeature.web.sign_in import signed_in

if TYPE_CHECKING:
    from uuid import UUID

    from django.contrib.auth.models import User

SEE_OTHER: Final = 303
UNPROCESSABLE: Final = 422

PLACE: Final = "#feedback"
"""The part of the page that shows the rating."""


@dataclass(frozen=True, slots=True)
class Rated:
    """A rating as its form shows it."""

    rating: int
    """1 or -1; 0: not rated yet."""
    chips: list[tuple[str, str, bool]]
    """Slug, words and choice of each reason."""
    comment: str
    is_failure: bool
    """Whether the job failed, so that it can only be rated down."""
    problem: str = ""

    @property
    def is_told(self) -> bool:
        """Whether the user gave more than a thumb."""
        return bool(self.comment) or any(chosen for _, _, chosen in self.chips)


def context(user: User, job: Job) -> dict[str, Any]:
    """Return what the page of a job shows about feedback; nothing before the job has ended."""
    if not votes.may_rate(job):
        return {}
    return {
        "rated": _rated(job, votes.of(job)),
        "most_characters": votes.MAX_COMMENT,
        "asks_nps": nps.is_due(user, job),
        "scores": nps.SCORES,
        "was_left": signals.was_left(job),
    }


@require_POST
@signed_in
def rate(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Store the rating, or show what is wrong with it. A job without an answer is only shown.

    Raises:
        Http404: The user has no such job.
    """
    user, job = cast("User", request.user), _own(request, job_id)
    rating = {"1": reasons.UP, "-1": reasons.DOWN}.get(request.POST.get("rating", ""), 0)
    comment = request.POST.get("comment", "")
    # The form still has the chips of the other thumb when the user changes their mind.
    offered = reasons.OF.get(rating, {}) if job.status == Status.SUCCEEDED else {}
    chosen = [slug for slug in request.POST.getlist("reasons") if slug in offered]
    try:
        row = votes.rate(user=user, job_id=job.pk, rating=rating, reasons=chosen, comment=comment)
    except InvalidInput as refusal:
        tried = Feedback(rating=rating, reasons=chosen, comment=comment)
        return _refused(request, job, _rated(job, tried, problem=refusal.detail))
    except (NotEnded, NotRateable):
        return _to_page(job)
    if "part" not in request.GET:
        return _to_page(job)
    return _part(request, job, _rated(job, row))


@require_POST
@signed_in
def answer_nps(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Store the answer to the NPS question, or that the user does not want to answer.

    Raises:
        Http404: The user has no such job.
    """
    job = _own(request, job_id)
    text = request.POST.get("score", "")
    known = {str(score): score for score in nps.SCORES}
    if "not_now" in request.POST or text in known:
        score = None if "not_now" in request.POST else known[text]
        nps.answer(user=cast("User", request.user), job=job, score=score)
    if "part" in request.GET:
        return render(request, "aifeature/job/nps_thanks.html")
    return _to_page(job, "?thanks")


@require_POST
@signed_in
def note_signal(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Note an action of the reader. Sent by the page's script, which does not read the response.

    Raises:
        Http404: The user has no such job.
    """
    name = request.POST.get("name", "")
    if name not in set(Signal):
        return HttpResponseBadRequest("There is no such signal.", content_type="text/plain")
    with suppress(NotEnded):
        try:
            signals.note(user=cast("User", request.user), job_id=job_id, signal=Signal(name))
        except NotFound:
            raise Http404 from None
    return HttpResponse(status=204)


def _own(request: HttpRequest, job_id: UUID) -> Job:
    try:
        return jobs.get(user=cast("User", request.user), job_id=job_id)
    except NotFound:
        raise Http404 from None


def _rated(job: Job, row: Feedback | None, *, problem: str = "") -> Rated:
    rating = row.rating if row else 0
    offered = reasons.OF.get(rating, {}) if job.status == Status.SUCCEEDED else {}
    return Rated(
        rating=rating,
        chips=[
            (slug, words, row is not None and slug in row.reasons)
            for slug, words in offered.items()
        ],
        comment=row.comment if row else "",
        is_failure=job.status == Status.FAILED,
        problem=problem,
    )


def _to_page(job: Job, query: str = "") -> HttpResponse:
    url = reverse("job", kwargs={"job_id": job.pk})
    return HttpResponseRedirect(f"{url}{query}{PLACE}", status=SEE_OTHER)


def _part(request: HttpRequest, job: Job, rated: Rated, *, status: int = 200) -> HttpResponse:
    shown = {"job": job, "rated": rated, "most_characters": votes.MAX_COMMENT}
    return render(request, "aifeature/job/feedback.html", shown, status=status)


def _refused(request: HttpRequest, job: Job, rated: Rated) -> HttpResponse:
    """Return the form with what the user typed: as a part, or as a page of its own."""
    if "part" in request.GET:
        return _part(request, job, rated, status=UNPROCESSABLE)
    shown = {
        "job": job,
        "title": show.title(job),
        "rated": rated,
        "most_characters": votes.MAX_COMMENT,
    }
    return render(request, "aifeature/feedback.html", shown, status=UNPROCESSABLE)
