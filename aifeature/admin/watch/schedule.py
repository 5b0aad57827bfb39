"""The schedule that beat reads. Each change needs a reason.

Weakening a protected check needs the permission to release a kill switch. There are no bulk
actions, because they take no reason.
"""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

from __future__ import annotations

from typing import Any, cast

from celery.schedules import ParseException
from django.contrib import admin, messages
from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.enums import ActionVariant

from aifeature.admin.audit_log import changes
from aifeature.admin.common.base import ModelAdmin
from aifeature.admin.common.dialogs import button, done
from aifeature.admin.common.show import Labelled
from aifeature.admin.watch.schedule_forms import (
    CrontabForm,
    DisableForm,
    PeriodicTaskForm,
    RemoveForm,
    SendForm,
    TaskForm,
    may_weaken,
)
from aifeature.models import CheckRun
from aifeature.services.watch import schedule

for model in (ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule):
    admin.site.unregister(model)


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(beat.PeriodicTaskAdmin, ModelAdmin):  # type: ignore[misc]
    """Changed with a reason. Buttons with a reason enable, disable, send and delete a task."""

    form = PeriodicTaskForm
    locks_while_saving = True
    list_display: Any = (*beat.PeriodicTaskAdmin.list_display, "last_result")
    actions_row: Any = ("enable", "disable", "run_now", "remove")
    actions_detail: Any = ("enable", "disable", "run_now", "remove")
    change_form_outer_after_template: Any = "aifeature/admin/changes.html"

    @display(description="last result", label={"ok": "success", "problem": "danger"})
    def last_result(self, task: Any) -> Labelled | str:
        """Return the last result of the check; a dash if the task is not a check."""
        if task.check_ok is None:
            return "-"
        return Labelled("ok" if task.check_ok else "problem", task.check_result)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Add the last run of each check, which is stored under its task's name."""
        run = CheckRun.objects.filter(pk=OuterRef("task"))
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[no-untyped-call]
        found = {
            "check_ok": Subquery(run.values("ok")),
            "check_result": Subquery(run.values("result")),
        }
        return cast("QuerySet[Any]", rows.annotate(**found))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return none: the library's actions and Django's deletion take no reason."""
        return {}

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Add the reason for visitors who may change the task."""
        adds = obj is None and self.has_add_permission(request)
        why = adds or self.has_change_permission(request, obj)
        found: Any = super().get_fieldsets(request, obj)
        return [*found, *([("Why", {"fields": ("reason",)})] if why else [])]

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Return the form, with whether this visitor may weaken a protected check."""
        form = super().get_form(request, *args, **kwargs)
        return type(form.__name__, (form,), {"may_weaken": may_weaken(request.user)})

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        context = {"changes": changes.latest(schedule.changes()), **(extra_context or {})}
        page: Any = super().changeform_view(request, object_id, form_url, context)  # type: ignore[no-untyped-call]
        return page

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Save through the service, which writes the audit rows."""
        schedule.save(obj, reason=form.cleaned_data["reason"], user_id=int(request.user.pk or 0))

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_switch_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Require the change permission to enable, disable and send a task."""
        return request.user.has_perm("django_celery_beat.change_periodictask")

    def has_remove_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Require the delete permission. Django's own page takes no reason, so it is off."""
        return request.user.has_perm("django_celery_beat.delete_periodictask")

    @button(
        "Enable",
        permission="switch",
        title="Enable this task",
        description="Beat sends it again, within a few seconds.",
        form=SendForm,
        icon="play_arrow",
    )
    def enable(self, request: HttpRequest, form: SendForm, object_id: str) -> HttpResponse:
        return self._enable(request, form, enabled=True)

    @button(
        "Disable",
        permission="switch",
        title="Disable this task",
        description="Beat stops sending it. If it is a check, on-call is notified that it is late.",
        form=DisableForm,
        icon="pause",
        variant=ActionVariant.DANGER,
    )
    def disable(self, request: HttpRequest, form: DisableForm, object_id: str) -> HttpResponse:
        return self._enable(request, form, enabled=False)

    @button(
        "Run now",
        permission="switch",
        title="Run this task now",
        description="It is sent once, in addition to its schedule.",
        form=SendForm,
        icon="send",
    )
    def run_now(self, request: HttpRequest, form: SendForm, object_id: str) -> HttpResponse:
        row = form.row
        try:
            schedule.run_now(row, reason=form.cleaned_data["reason"], user_id=_id(request))
        except schedule.NotSentError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.message_user(request, f"{row.name}: {row.task} was sent.", messages.SUCCESS)
        return done("admin:django_celery_beat_periodictask_changelist")

    @button(
        "Delete",
        permission="remove",
        title="Delete this task",
        description="Beat restores a protected check when it starts. Other tasks stay deleted.",
        form=RemoveForm,
        icon="delete",
        variant=ActionVariant.DANGER,
    )
    def remove(self, request: HttpRequest, form: RemoveForm, object_id: str) -> HttpResponse:
        row = form.row
        schedule.delete(row, reason=form.cleaned_data["reason"], user_id=_id(request))
        self.message_user(request, f"{row.name} is deleted.", messages.WARNING)
        return done("admin:django_celery_beat_periodictask_changelist")

    def _enable(self, request: HttpRequest, form: TaskForm, *, enabled: bool) -> HttpResponse:
        row = form.row
        row.enabled = enabled
        schedule.save(row, reason=form.cleaned_data["reason"], user_id=_id(request))
        became, level = ("enabled", messages.SUCCESS) if enabled else ("disabled", messages.WARNING)
        self.message_user(request, f"{row.name} is {became}.", level)
        return done("admin:django_celery_beat_periodictask_changelist")


def _id(request: HttpRequest) -> int:
    return int(request.user.pk or 0)


class _TasksOfSchedule(beat.PeriodicTaskInline, TabularInline):  # type: ignore[misc]
    """The tasks of a schedule. None can be added here."""

    max_num = 0

    def get_formset(self, request: HttpRequest, obj: Model | None = None, **kwargs: Any) -> Any:
        """Limit the number of forms: a request that claims a thousand takes seconds."""
        return super().get_formset(request, obj, **{"absolute_max": 100, **kwargs})


class _ScheduleAdmin(ModelAdmin):
    """Schedules can be added, but not changed or deleted, because several tasks may use one.

    To change when a task runs, choose another schedule for it, with a reason.
    """

    inlines = [_TasksOfSchedule]  # noqa: RUF012 (Django's own type)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(_ScheduleAdmin, beat.CrontabScheduleAdmin):  # type: ignore[misc]
    form = CrontabForm

    @admin.display(description="meaning")
    def human_readable(self, row: Any) -> str:
        """Return the crontab in words; a dash if beat cannot read it."""
        try:
            return str(row.human_readable)
        except (ValueError, ParseException):
            return "-"

    inlines = [_TasksOfSchedule]  # noqa: RUF012 (Django's own type)


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(_ScheduleAdmin, beat.ClockedScheduleAdmin):  # type: ignore[misc]
    inlines = [_TasksOfSchedule]  # noqa: RUF012 (Django's own type)


admin.site.register([IntervalSchedule, SolarSchedule], _ScheduleAdmin)
