"""Admin pages of alerts and of the last result of each check."""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import F, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from unfold.decorators import display
from unfold.enums import ActionVariant

from aifeature.admin.alerting import alert_page, open_alerts
from aifeature.admin.alerting.alert_forms import AcknowledgeForm, AssignForm, SilenceForm
from aifeature.admin.common import show
from aifeature.admin.common.dialogs import ReasonForm, button, done
from aifeature.admin.common.read_only import ReadOnlyAdmin
from aifeature.admin.common.show import moment_column, span
from aifeature.models import Alert, CheckRun
from aifeature.services.alerting import handling, silences
from aifeature.services.alerting.handling import HandlingRefusedError


class OpenFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "open"), ("new", "not acknowledged"), ("over", "ended")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alert]) -> QuerySet[Alert]:
        match self.value():
            case "open":
                return queryset.filter(closed_at=None)
            case "new":
                return queryset.filter(closed_at=None, acknowledged_at=None)
            case "over":
                return queryset.exclude(closed_at=None)
        return queryset


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    """Alerts, open ones first, each with its runbook. Only the dialogs change one."""

    list_display = (
        *("opened", "state", "kind", "subject", "summary", "handled_by", "runbook", "closed"),
    )
    list_display_links = ("opened",)
    list_filter = (OpenFilter, "kind", "opened_at")
    list_select_related = ("acknowledged_by", "assigned_to")
    search_fields = ("subject", "summary")
    actions: Any = ("acknowledge_selected",)
    actions_row: Any = ("acknowledge", "assign", "silence", "lift")

    opened = moment_column("opened_at", "since")
    closed = moment_column("closed_at", "ended")

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        """Order open alerts first, then the most recently ended."""
        return [F("closed_at").desc(nulls_first=True), "-opened_at", "-id"]

    @display(description="state", label={"open": "danger", "seen": "warning", "ended": "success"})
    def state(self, alert: Alert) -> Any:
        if alert.closed_at:
            return show.Labelled("ended", "ended")
        if alert.acknowledged_at:
            return show.Labelled("seen", "acknowledged")
        return show.Labelled("open", "open")

    @admin.display(description="handled by")
    def handled_by(self, alert: Alert) -> str:
        return open_alerts.handled_by(alert) or "-"

    @admin.display(description="runbook")
    def runbook(self, alert: Alert) -> str:
        return open_alerts.runbook(alert.kind)

    def get_actions_row(self, request: HttpRequest) -> list[Any]:
        """Return none: `actions_row` only registers the addresses of the dialogs."""
        return []

    def has_handle_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm(alert_page.HANDLE)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        """Show one alert.

        Raises:
            Http404: There is no such alert.
            PermissionDenied: The visitor may not view alerts, or wants to edit or add one.
        """
        if object_id is None or request.method == "POST":
            raise PermissionDenied
        alert = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, alert):
            raise PermissionDenied
        if alert is None:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            **alert_page.context(request, alert),
            **(extra_context or {}),
        }
        return render(request, "aifeature/admin/alert.html", context)

    @admin.action(description="Acknowledge", permissions=["handle"])
    def acknowledge_selected(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        """Acknowledge the open ones among the selected alerts."""
        count = handling.acknowledge_all(
            queryset.values_list("pk", flat=True), user_id=int(request.user.pk or 0)
        )
        text = f"{count} alerts are acknowledged." if count != 1 else "1 alert is acknowledged."
        self.message_user(request, text, messages.SUCCESS)

    @button(
        "Acknowledge",
        permission="handle",
        title="Acknowledge this alert",
        description="You work on it. It is not sent again and not escalated; it stays open until"
        " the check finds the problem gone.",
        form=AcknowledgeForm,
        icon="check_circle",
    )
    def acknowledge(
        self, request: HttpRequest, form: AcknowledgeForm, object_id: str
    ) -> HttpResponse:
        alert, by = self._alert(request, object_id), _by(request, form)
        with _refusals():
            handling.acknowledge(alert.pk, **by)
        return self._done(request, alert, "The alert is acknowledged.")

    @button(
        "Assign",
        permission="handle",
        title="Assign this alert",
        description="The name is shown at the alert. No message is sent to the person.",
        form=AssignForm,
        icon="person",
    )
    def assign(self, request: HttpRequest, form: AssignForm, object_id: str) -> HttpResponse:
        alert, by = self._alert(request, object_id), _by(request, form)
        with _refusals():
            handling.assign(alert.pk, form.to_id, **by)
        return self._done(request, alert, "The alert is assigned.")

    @button(
        "Silence",
        permission="handle",
        title="Silence this alert",
        description="No channel is sent an alert of this kind and subject, also if it ends and"
        " begins again. It stays visible here. If it is open and nobody has acknowledged it when"
        " the silence ends, it is sent then.",
        form=SilenceForm,
        icon="notifications_off",
        variant=ActionVariant.DANGER,
    )
    def silence(self, request: HttpRequest, form: SilenceForm, object_id: str) -> HttpResponse:
        alert, by = self._alert(request, object_id), _by(request, form)
        with _refusals():
            made = handling.silence(alert.pk, form.end, **by)
        return self._done(request, alert, f"Nothing is sent until {show.utc(made.until)}.")

    @button(
        "Lift the silence",
        permission="handle",
        title="Lift the silence",
        description="Alerts of this kind and subject are sent again from now on.",
        form=ReasonForm,
        icon="notifications_active",
    )
    def lift(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        alert, by = self._alert(request, object_id), _by(request, form)
        found = silences.of(alert, timezone.now())
        if found is None:
            raise ValidationError("There is no silence any more.")
        with _refusals():
            handling.lift(found.pk, **by)
        return self._done(request, alert, "The silence is lifted.")

    def _alert(self, request: HttpRequest, object_id: str) -> Alert:
        alert: Alert | None = self.get_object(request, unquote(object_id))
        if alert is None:
            raise Http404
        return alert

    def _done(self, request: HttpRequest, alert: Alert, text: str) -> HttpResponse:
        self.message_user(request, text, messages.SUCCESS)
        if not self.has_view_permission(request, alert):
            return done("admin:index")
        return done("admin:aifeature_alert_change", quote(str(alert.pk)))


def _by(request: HttpRequest, form: Any) -> dict[str, Any]:
    return {"reason": form.cleaned_data["reason"], "user_id": int(request.user.pk or 0)}


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn a refusal into an error of the dialog."""
    try:
        yield
    except HandlingRefusedError as error:
        raise ValidationError(str(error)) from None


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
