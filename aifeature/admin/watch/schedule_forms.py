"""Forms that change the schedule, and their validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from celery.schedules import ParseException
from django import forms
from django.contrib.admin.utils import unquote
from django.db.models import Model
from django.utils import timezone
from django_celery_beat import admin as beat
from django_celery_beat.models import CrontabSchedule, PeriodicTask
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from aifeature.admin.common import personal_data
from aifeature.admin.common.dialogs import ReasonForm
from aifeature.services.watch import broken, protected, wall_clock

if TYPE_CHECKING:  # only the stubs' class takes a model
    _CrontabForm = forms.ModelForm[CrontabSchedule]
else:
    _CrontabForm = forms.ModelForm


def may_weaken(user: Any) -> bool:
    """Return whether the user may disable, delete or slow down a protected check."""
    allowed: bool = user.has_perm(protected.PERMISSION)
    return allowed


def refusal(task: str, phrases: Sequence[str]) -> str:
    """Return the message for a user who may not weaken a protected check."""
    return (
        f"{task} is a protected check. To {' and to '.join(phrases)} you need the permission"
        ' "Can release the kill switch".'
    )


class _TaskSelect(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    def tasks_as_choices(self) -> tuple[tuple[str, str], ...]:
        return (("", ""), *((name, name) for name in broken.task_names()))


class PeriodicTaskForm(beat.PeriodicTaskForm):
    """Rejects tasks that no worker can run, and weakening a protected check."""

    may_weaken = False
    reason = forms.CharField(
        max_length=500, widget=UnfoldAdminTextInputWidget, help_text="Stored in the audit log."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "regtask" in self.fields:
            self.fields["regtask"].widget = _TaskSelect()
            self.fields["task"].widget = UnfoldAdminTextInputWidget()

    def _post_clean(self) -> None:
        # The row has its new values only after the model's validation.
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        row = self.instance
        found = [*broken.problems(row), *broken.never_sent(row), *personal_data.refused(row)]
        for field, sentence in found:
            self.add_error(field if field in self.fields else None, sentence)
        for name in broken.ignored(row):
            self.add_error("kwargs", f"{row.task} ignores {name!r}. Remove it.")
        before: Any = PeriodicTask.objects.filter(pk=row.pk).first()
        phrases = protected.weakened(before, row) if before and not self.errors else []
        if phrases and not self.may_weaken:
            self.add_error(None, refusal(before.task, phrases))


class CrontabForm(_CrontabForm):
    """Rejects crontabs that beat cannot read. The model's validation misses some of them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "timezone" in self.fields:
            field: Any = self.fields["timezone"]
            field.coerce = _zone(field.coerce)

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # as above
        if self.errors:
            return
        try:
            when = self.instance.schedule
        except (ValueError, ParseException) as error:
            self.add_error(None, f"Beat cannot read this crontab: {error}.")
            return
        if wall_clock.next_run(when, timezone.now()) is None:
            self.add_error(None, wall_clock.NEVER)


def _zone(coerce: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return `coerce` with one error for all invalid zones: some are not valid file names."""

    def zone(value: Any) -> Any:
        try:
            return coerce(value)
        except OSError as error:
            raise ValueError from error

    return zone


class TaskForm(ReasonForm):
    """A reason, for an action on one periodic task."""

    @property
    def row(self) -> Any:
        return self._row

    def clean(self) -> dict[str, Any]:
        """Reject the action if the task is gone or `problem` finds a reason."""
        self._row: Any = PeriodicTask.objects.filter(pk=unquote(str(self.object_id))).first()
        gone = "This task has been deleted in the meantime."
        if problem := self.problem() if self._row else gone:
            self.add_error("reason", problem)  # the dialog shows only errors of fields
        found: dict[str, Any] = super().clean() or {}
        return found

    def problem(self) -> str:
        """Return why the action is not possible; empty if it is."""
        raise NotImplementedError

    def _weakens(self, after: Model | None) -> str:
        phrases = protected.weakened(self._row, after)
        if not phrases or may_weaken(self.request.user):
            return ""
        return refusal(self._row.task, phrases)


class SendForm(TaskForm):
    def problem(self) -> str:
        return " ".join(sentence for _, sentence in broken.problems(self._row))


class DisableForm(TaskForm):
    def problem(self) -> str:
        after = PeriodicTask.objects.get(pk=self._row.pk)
        after.enabled = False
        return self._weakens(after)


class RemoveForm(TaskForm):
    def problem(self) -> str:
        return self._weakens(None)
