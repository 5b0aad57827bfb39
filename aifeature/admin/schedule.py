"""The schedule that beat reads, in this site's looks."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from aifeature.models import CheckRun

for model in (ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule):
    admin.site.unregister(model)


class _TaskSelect(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    """The registered tasks, in this site's looks."""

    def tasks_as_choices(self) -> tuple[tuple[str, str], ...]:
        """The task names, found without Celery's signal that runs every system check anew."""
        for module in self.celery_app.conf.imports:
            import_module(module)
        names = sorted(name for name in self.celery_app.tasks if not name.startswith("celery."))
        return (("", ""), *((name, name) for name in names))


class _PeriodicTaskForm(beat.PeriodicTaskForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "regtask" in self.fields:
            self.fields["regtask"].widget = _TaskSelect()
            self.fields["task"].widget = UnfoldAdminTextInputWidget()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(beat.PeriodicTaskAdmin, ModelAdmin):  # type: ignore[misc]
    """Beat's own; its actions (enable, run now) only for those who may change the schedule."""

    form = _PeriodicTaskForm
    list_display: Any = (*beat.PeriodicTaskAdmin.list_display, "last_result")

    @display(description="last result", label={"well": "success", "found": "danger"})
    def last_result(self, task: Any) -> tuple[str, str] | str:
        """What the check that this line runs found last; a dash for what is no check."""
        if task.check_ok is None:
            return "-"
        return "well" if task.check_ok else "found", task.check_result

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """A check's last run is kept under its task's name."""
        run = CheckRun.objects.filter(pk=OuterRef("task"))
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[no-untyped-call]
        found = {
            "check_ok": Subquery(run.values("ok")),
            "check_result": Subquery(run.values("result")),
        }
        return cast("QuerySet[Any]", rows.annotate(**found))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)
        return actions if self.has_change_permission(request) else {}


class _TasksOfSchedule(beat.PeriodicTaskInline, TabularInline):  # type: ignore[misc]
    """Which tasks follow a schedule."""


class _ScheduleAdmin(ModelAdmin):
    inlines = [_TasksOfSchedule]  # noqa: RUF012 (Django's own type)


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(beat.CrontabScheduleAdmin, _ScheduleAdmin):  # type: ignore[misc]
    inlines = [_TasksOfSchedule]  # noqa: RUF012 (Django's own type)


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(beat.ClockedScheduleAdmin, _ScheduleAdmin):  # type: ignore[misc]
    inlines = [_TasksOfSchedule]  # noqa: RUF012 (Django's own type)


admin.site.register([IntervalSchedule, SolarSchedule], _ScheduleAdmin)
