"""Jobs: input, state, cost and provider calls."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.html import format_html
from unfold.decorators import display

from aifeature.admin.common.dialogs import ReasonForm, button, done
from aifeature.admin.common.names import STATUS_COLOURS
from aifeature.admin.common.read_only import FeatureFilter, ReadOnlyAdmin, as_uuid
from aifeature.admin.common.show import Labelled, dollar_column, moment_column
from aifeature.admin.controls import prompt_notices
from aifeature.admin.controls.cards import may_see
from aifeature.admin.jobs import timeline
from aifeature.models import TERMINAL, CancelledBy, Job, Origin, Status, transitions
from aifeature.services import jobs
from aifeature.services.jobs import CannotRequeueError
from aifeature.services.texts import CANCELLED_BY_STAFF, references

_MATCHING_USERS = 50
"""Maximum number of users whose jobs one search by user name finds."""

_ALL = "all"


class OriginFilter(admin.SimpleListFilter):
    """Show users' jobs, unless another origin or a search is chosen: figures are about users.

    A search finds jobs of all origins.
    """

    title = "origin"
    parameter_name = "origin"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        del model_admin
        self._is_search = bool(request.GET.get(SEARCH_VAR, "").strip())
        others = [(o.value, o.label) for o in Origin if o is not Origin.USER]
        return [(Origin.USER.value, "Users"), *others, (_ALL, "All")]

    def value(self) -> str:
        chosen: str | None = super().value()
        return chosen or (_ALL if self._is_search else Origin.USER.value)

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Yield the choices, without Django's own for all, which is none here."""
        yield from islice(super().choices(changelist), 1, None)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        del request
        chosen = self.value()
        return queryset if chosen == _ALL else queryset.filter(origin=chosen)


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """Read-only. An operator can cancel a job, and run the input of a failed one again."""

    list_display = (
        *("short_id", "status_label", "feature", "user", "created", "tries", "attempts", "charge"),
        "reason",
    )
    list_filter = (OriginFilter, "status", FeatureFilter, "created_at")
    list_select_related = ("user",)
    ordering = ("-created_at", "-id")
    search_fields = ("id", "user__username")
    search_help_text = "A reference such as J-3F2A91C4, an ID, or the start of a user name."
    wide_fields = ("input", "result", "partial_text")
    actions = ("cancel_selected", "requeue_selected")
    actions_detail: Any = ("requeue",)
    change_form_outer_before_template: Any = "aifeature/admin/job.html"
    fieldsets = (
        (
            "Times",
            {
                "classes": ("collapse",),
                "fields": (
                    *("created", "started", "finished", "deadline", "run_at_shown", "published"),
                    *("leased", "approval_expires", "cancel_requested", "content_deleted"),
                ),
            },
        ),
        (
            "Row",
            {
                "classes": ("collapse",),
                "fields": (
                    *(
                        "id",
                        "feature",
                        "user",
                        "origin",
                        "options",
                        "epoch",
                        "tries",
                        "attempts",
                        "worker",
                        "charge",
                    ),
                    *("idempotency_key", "request_digest"),
                ),
            },
        ),
    )

    charge = dollar_column("charge_micro", "charge")
    created = moment_column("created_at", "created")
    started = moment_column("started_at", "started")
    finished = moment_column("finished_at", "finished")
    deadline = moment_column("deadline_at", "deadline")
    run_at_shown = moment_column("run_at", "not claimed before")
    published = moment_column("published_at", "published")
    leased = moment_column("lease_until", "leased until")
    approval_expires = moment_column("approval_expires_at", "approval expires")
    cancel_requested = moment_column("cancel_requested_at", "cancellation requested")
    content_deleted = moment_column("content_blanked_at", "content deleted")

    @admin.display(description="job", ordering="id")
    def short_id(self, job: Job) -> str:
        return format_html('<span class="aif-mono" title="{}">{}</span>', job.pk, str(job.pk)[:8])

    @display(description="status", label=STATUS_COLOURS)
    def status_label(self, job: Job) -> Labelled:
        return Labelled(job.status, job.get_status_display())

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,  # noqa: FBT001, FBT002 (Django's own signature)
        change: bool = False,  # noqa: FBT001, FBT002
        form_url: str = "",
        obj: Any = None,
    ) -> Any:
        calls = obj.ledger.order_by("number") if may_see(request, "attempt") else None
        events = obj.guard_events.order_by("id") if may_see(request, "guardevent") else ()
        context["story"] = timeline.of_job(obj, None if calls is None else list(calls), events)
        context["notices"] = prompt_notices.of_features([obj.feature])[obj.feature]
        return super().render_change_form(request, context, add, change, form_url, obj)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if (job_id := as_uuid(term)) is not None:
            return queryset.filter(id=job_id), False
        users = get_user_model().objects.filter(username__istartswith=term)
        found = Q(user_id__in=users.values("pk")[:_MATCHING_USERS])
        if (ids := references.jobs(term)) is not None:
            found |= Q(id__range=ids)
        elif references.request(term):
            text = "This is the reference of a request. Search for it under Web failures."
            self.message_user(request, text, messages.WARNING)
        return queryset.filter(found), False

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Require the change permission. Jobs are never edited, so it means cancelling."""
        return request.user.has_perm("aifeature.change_job")

    @admin.display(description="reason")
    def reason(self, job: Job) -> str:
        """Return the reason code of a job that waits or failed."""
        return job.wait_reason or job.error_code

    @admin.action(description="Cancel the selected jobs", permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        text = CANCELLED_BY_STAFF
        done = stopping = 0
        for job in list(queryset.exclude(status__in=TERMINAL)[: self.list_per_page]):
            status = transitions.cancel(
                job.pk, user_id=job.user_id, message=text, by=CancelledBy.STAFF
            )
            if status not in {Status.CANCELLED, Status.RUNNING}:
                continue  # it has ended since the query
            self.log_change(request, job, "Cancelled in admin.")
            done += status == Status.CANCELLED
            stopping += status == Status.RUNNING
        self.message_user(
            request,
            f"{done} cancelled, {stopping} running and stopping. Ended jobs are unchanged.",
            messages.SUCCESS if done or stopping else messages.WARNING,
        )

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        job = self.get_object(request, unquote(str(object_id)))
        if job is None or job.status != Status.FAILED:
            return []
        return super().get_actions_detail(request, object_id)

    def has_requeue_permission(self, request: HttpRequest, _object_id: object = None) -> bool:
        return request.user.has_perm("aifeature.requeue_job")

    @button(
        "Requeue",
        permission="requeue",
        title="Run this input again",
        description="Creates a new job for the same user. This job does not change.",
        form=ReasonForm,
        icon="replay",
    )
    def requeue(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        job = self.get_object(request, unquote(object_id))
        if job is None:
            raise Http404
        try:
            new = self._requeue(request, job, form.cleaned_data["reason"])
        except CannotRequeueError as error:
            self.message_user(request, f"Not requeued. {error}", messages.ERROR)
            return done("admin:aifeature_job_change", job.pk)
        self.message_user(request, f"This is the new job, created from {job.pk}.", messages.SUCCESS)
        return done("admin:aifeature_job_change", new.pk)

    @admin.action(description="Requeue the selected failed jobs", permissions=["requeue"])
    def requeue_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        made = 0
        refused: dict[str, int] = {}
        for job in list(queryset[: self.list_per_page]):
            try:
                self._requeue(request, job, "With others, from the list.")
            except CannotRequeueError as error:
                refused[str(error)] = refused.get(str(error), 0) + 1
            else:
                made += 1
        failed = (f"{n} not requeued: {why}" for why, n in refused.items())
        level = messages.SUCCESS if made and not refused else messages.WARNING
        self.message_user(request, " ".join([f"{made} requeued as new jobs.", *failed]), level)

    def _requeue(self, request: HttpRequest, job: Job, reason: str) -> Job:
        with transaction.atomic():
            new = jobs.requeue(job_id=job.pk)
            self.log_change(request, job, f"Requeued as job {new.pk}: {reason}")
            self.log_addition(request, new, f"Requeued from job {job.pk}: {reason}")
        return new
