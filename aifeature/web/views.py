"""The start page, and the page of a feature with its form."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from aifeature import registry
from aifeature.services import controls, jobs
from aifeature.services.access import beta
from aifeature.services.failures.web_failures import failures
from aifeature.services.feedback import signals
from aifeature.services.jobs import admission
from aifeature.services.jobs.refusals import (
    AccessBlocked,
    IdempotencyConflict,
    InvalidInput,
    NotFound,
    Refusal,
)
from aifeature.services.promotion import standing
from aifeature.spec import Example
from aifeature.web import carried, history, rows, show
from aifeature.web.schema_form import PREFIX, SchemaForm, form_class, initial
from aifeature.web.sign_in import signed_in

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from aifeature.models import Job
    from aifeature.spec import Feature

RECENT = 3
"""Jobs shown on the start page."""

SEE_OTHER = 303
_NO_EXAMPLE = Example(label="none", input={})
_KEY = re.compile(r"[\x20-\x7e]{1,100}")
"""Valid values of the page's hidden field. Any other value is ignored."""


@never_cache
@require_safe
@signed_in
def start(request: HttpRequest) -> HttpResponse:
    """Show the features this user may use, and the user's latest jobs."""
    user = cast("User", request.user)
    recent = history.page(user, history.Wanted()).jobs[:RECENT]
    features = jobs.visible_features(user=user)
    context = {
        "features": features,
        "paused": [each.slug for each in features if controls.is_paused(each.slug, user.pk)],
        "may_join": beta.can_join(user),
        "recent": [rows.row(job) for job in recent],
        "throttles": controls.throttles.notices(user.pk, seen=[each.slug for each in features]),
    }
    return render(request, "aifeature/start.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def feature(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the feature's form. If it is sent and valid, submit a job and redirect to its page.

    A user who is blocked with a message reads it in place of the form.

    Raises:
        Http404: The user has no access to such a feature.
    """
    user = cast("User", request.user)
    try:
        found = jobs.visible_feature(user=user, slug=slug)
    except (NotFound, AccessBlocked) as refusal:
        if request.method == "POST":
            jobs.refused_counts.note(user, slug, refusal)
        if isinstance(refusal, NotFound):
            raise Http404 from None
        context = {"feature": registry.get(slug), "notice": refusal.detail}
        return render(request, "aifeature/blocked.html", context, status=refusal.status)
    make = form_class(found)
    if request.method != "POST":
        return _unsent(request, found, make)
    if carried.is_by(text := carried.packed(request), user):
        return _page(request, found, make(initial=carried.typed(text, make)), is_back=True)
    return _sent(request, found, make(request.POST, request.FILES))


def _sent(request: HttpRequest, found: Feature, form: SchemaForm) -> HttpResponse:
    """Submit a job if the form is valid, and redirect to its page; else return the form."""
    user = cast("User", request.user)
    if not form.is_valid():
        return _page(request, found, form, status=422)
    try:
        job = _submit(user, found, form, request.POST.get("key", ""))
    except InvalidInput as refusal:
        form.refuse(refusal.errors or [{"field": "", "message": refusal.detail}])
        return _page(request, found, form, status=refusal.status)
    except Refusal as refusal:
        response = _page(request, found, form, status=refusal.status, refusal=refusal)
        if refusal.retry_after_s is not None:
            response["Retry-After"] = str(refusal.retry_after_s)
        return response
    if (earlier := _id(request.POST.get("from", ""))) is not None:
        signals.note_sent_again(user=user, earlier=earlier, new=job)
    return HttpResponseRedirect(reverse("job", kwargs={"job_id": job.id}), status=SEE_OTHER)


def _unsent(request: HttpRequest, found: Feature, make: type[SchemaForm]) -> HttpResponse:
    """Return the page with the form to fill in and, above it, why it would be refused now."""
    user = cast("User", request.user)
    paused = controls.is_paused(found.slug, user.pk)
    closed = None if paused else admission.refusal_for(found, user.pk)
    earlier = _earlier_input(user, found, request.GET)
    notices: dict[str, Any] = {
        "is_paused": paused,
        "is_kept": paused and controls.keeps_jobs(found.slug, user.pk),
        "closed": closed and closed.detail,
        "is_pristine": not earlier,
    }
    return _page(request, found, make(initial=initial(make, earlier)), **notices)


def _submit(user: User, found: Feature, form: SchemaForm, key: str) -> Job:
    """Submit a job. A form that is sent twice, as by a double click, is one job.

    A form that is sent again with other text, as after the Back button, is another job.
    """
    value = form.value()
    key = f"web:{key if _KEY.fullmatch(key) else uuid.uuid4()}"
    try:
        return jobs.submit(user=user, slug=found.slug, data=value, key=key).job
    except IdempotencyConflict:
        other = f"{key}:{uuid.uuid4()}"  # same prefix: the script finds that the draft was sent
        return jobs.submit(user=user, slug=found.slug, data=value, key=other).job


def _page(
    request: HttpRequest,
    found: Feature,
    form: SchemaForm,
    *,
    status: int = 200,
    refusal: Refusal | None = None,
    **notices: Any,
) -> HttpResponse:
    user = cast("User", request.user)
    context: dict[str, Any] = {
        "feature": found,
        "form": form,
        "prefix": PREFIX,
        "key": uuid.uuid4(),
        "made_from": _id(request.POST.get("from") or request.GET.get("from", "")),
        "typist": carried.typist(user),
        "refusal": refusal.detail if refusal else "",
        "reference": failures.note(refusal.status, refusal.code) if refusal else "",
        "max_file_bytes": form.max_file_bytes,
        "throttles": controls.throttles.notices(user.pk, found.slug),
        "for_staff": standing.notices(found) if user.is_staff else (),
        **notices,
    }
    return render(request, "aifeature/feature.html", context, status=status)


def _id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _earlier_input(user: User, found: Feature, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the values that the form begins with; empty if the address names none.

    `example=2` names an example of the feature, `from` a job of this user to send again, and
    `after` one whose output leads to this feature.
    """
    if (number := query.get("example", "")).isdecimal():
        return dict(enumerate(found.examples)).get(int(number[:4]), _NO_EXAMPLE).input
    try:
        job = jobs.get(user=user, job_id=uuid.UUID(query.get("from") or query.get("after", "")))
    except (ValueError, NotFound):
        return {}
    if "from" in query:
        return job.input if job.feature == found.slug and isinstance(job.input, dict) else {}
    offered = show.follow_up(job)
    return offered.input if offered and offered.feature == found.slug else {}
