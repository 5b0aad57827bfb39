"""Admin pages of alerts and of the last result of each check."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from aifeature.admin.alerting import open_alerts
from aifeature.admin.common import show
from aifeature.admin.common.read_only import ReadOnlyAdmin
from aifeature.admin.common.show import moment_column, span
from aifeature.models import Alert, CheckRun


class OpenFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        del request, model_admin
        return [("open", "open"), ("over", "ended")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alert]) -> QuerySet[Alert]:
        del request
        match self.value():
            case "open":
                return queryset.filter(closed_at=None)
            case "over":
                return queryset.exclude(closed_at=None)
        return queryset


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    """Alerts, open ones first, each with its runbook."""

    list_display = ("opened", "state", "kind", "subject", "summary", "runbook", "closed")
    list_display_links = ("opened",)
    list_filter = (OpenFilter, "kind", "opened_at")
    search_fields = ("subject", "summary")
    fieldsets = (
        (None, {"fields": ("kind", "subject", "state", "summary", "runbook", "seen_figures")}),
        ("When", {"fields": ("opened", "seen", "closed", "notified", "end_notified")}),
    )

    opened = moment_column("opened_at", "since")
    seen = moment_column("seen_at", "last seen")
    closed = moment_column("closed_at", "ended")
    notified = moment_column("notified_at", "on-call notified")
    end_notified = moment_column("end_notified_at", "end notified")

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        """Order open alerts first, then the most recently ended."""
        del request
        return [F("closed_at").desc(nulls_first=True), "-opened_at", "-id"]

    @display(description="state", label={"open": "danger", "ended": "success"})
    def state(self, alert: Alert) -> str:
        return "ended" if alert.closed_at else "open"

    @admin.display(description="runbook")
    def runbook(self, alert: Alert) -> str:
        return open_alerts.runbook(alert.kind)

    @admin.display(description="figures")
    def seen_figures(self, alert: Alert) -> str:
        return show.figures(alert.figures)


@admin.register(CheckRun)
class CheckRunAdmin(ReadOnlyAdmin):
    """The last run of each scheduled check and its result."""

    list_display = ("name", "state", "result", "ended", "took")
    ordering = ("name",)
    fieldsets = (
        (None, {"fields": ("name", "state", "result", "seen_figures", "began", "ended", "took")}),
    )

    began = moment_column("began_at", "started")
    ended = moment_column("ended_at", "last run")

    @display(description="state", label={"ok": "success", "problem found": "danger"})
    def state(self, run: CheckRun) -> str:
        return "ok" if run.ok else "problem found"

    @admin.display(description="duration")
    def took(self, run: CheckRun) -> str:
        return span((run.ended_at - run.began_at).total_seconds())

    @admin.display(description="figures")
    def seen_figures(self, run: CheckRun) -> str:
        return show.figures(run.figures)
