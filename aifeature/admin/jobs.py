"""Jobs: what was asked, where it stands, what it cost, and each provider call made for it."""

# ruff: noqa: ARG002 - Django calls these methods with more than they need

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.decorators import display

from aifeature.admin.read_only import FeatureFilter, ReadOnlyAdmin, as_uuid
from aifeature.admin.show import content_column, dollar_column, moment_column
from aifeature.models import TERMINAL, Attempt, Job, Status, transitions
from aifeature.services.messages import sentence

STATUS_COLOURS: dict[str, str] = {
    Status.RUNNING: "info",
    Status.NEEDS_APPROVAL: "warning",
    Status.SUCCEEDED: "success",
    Status.FAILED: "danger",
    Status.REJECTED: "danger",
}

_MATCHING_USERS = 50
"""Most users whose jobs one search by user name shows."""


class AttemptInline(TabularInline):
    """The provider calls of a job, in order, each with a link to its own page."""

    model = Attempt
    verbose_name_plural = "provider calls"
    ordering = ("number",)
    extra = 0
    can_delete = False
    show_change_link = True
    fields = (
        *("number", "purpose", "state", "model", "cost", "bound", "latency_ms", "ttft_ms"),
        *("stop_reason", "error_code"),
    )
    readonly_fields = fields

    cost = dollar_column("cost_micro", "cost")
    bound = dollar_column("bound_micro", "upper bound")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        rows: QuerySet[Attempt] = super().get_queryset(request)
        return rows.defer("request", "output")

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """Read-only for everybody; the one thing an operator can do to a job is cancel it."""

    list_display = (
        *("id", "status_label", "feature", "user", "created", "tries", "attempts", "charge"),
        "error_code",
    )
    list_filter = ("status", FeatureFilter, "created_at")
    list_select_related = ("user",)
    ordering = ("-created_at", "-id")
    search_fields = ("id", "user__username")
    search_help_text = "A job's id, or how a user's name begins."
    wide_fields = ("input", "result")
    inlines = (AttemptInline,)
    actions = ("cancel_selected",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("id", "feature", "status", "user", "charge"),
                    *("error_code", "error_message"),
                )
            },
        ),
        ("Content", {"fields": ("input_shown", "result_shown")}),
        (
            "Life",
            {
                "fields": (
                    *("created", "started", "finished", "deadline", "run_at_shown", "published"),
                    *("leased", "cancel_requested", "epoch", "tries", "attempts", "worker"),
                )
            },
        ),
        (
            "Accepted answer",
            {
                "fields": (
                    *("model", "prompt_version", "input_tokens", "output_tokens"),
                    *("cache_read_tokens", "cache_write_tokens"),
                )
            },
        ),
        ("Request", {"fields": ("idempotency_key", "request_digest")}),
    )

    charge = dollar_column("charge_micro", "charge")
    input_shown = content_column("input", "input")
    result_shown = content_column("result", "result")
    created = moment_column("created_at", "created")
    started = moment_column("started_at", "started")
    finished = moment_column("finished_at", "finished")
    deadline = moment_column("deadline_at", "deadline")
    run_at_shown = moment_column("run_at", "not claimed before")
    published = moment_column("published_at", "published")
    leased = moment_column("lease_until", "leased until")
    cancel_requested = moment_column("cancel_requested_at", "cancellation asked")

    @display(description="status", label=STATUS_COLOURS)
    def status_label(self, job: Job) -> tuple[str, str]:
        return job.status, job.get_status_display()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if (job_id := as_uuid(term)) is not None:
            return queryset.filter(id=job_id), False
        users = get_user_model().objects.filter(username__istartswith=term)
        return queryset.filter(user_id__in=users.values("pk")[:_MATCHING_USERS]), False

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Nobody edits a job, so the permission to change one means to cancel it."""
        return request.user.has_perm("aifeature.change_job")

    @admin.action(description="Cancel the selected jobs", permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        told = sentence("cancelled_by_staff")
        done = asked = 0
        for job in list(queryset.exclude(status__in=TERMINAL)[: self.list_per_page]):
            status = transitions.cancel(job.pk, user_id=job.user_id, message=told)
            if status not in {Status.CANCELLED, Status.RUNNING}:
                continue  # it ended meanwhile
            self.log_change(request, job, "Cancelled in admin.")
            done += status == Status.CANCELLED
            asked += status == Status.RUNNING
        self.message_user(
            request,
            f"{done} cancelled, {asked} running and asked to stop; what had ended stays as it is.",
            messages.SUCCESS if done or asked else messages.WARNING,
        )
