"""Launches: announced traffic, which the checks then expect."""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db.models import Model
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from aifeature.admin.common.base import row_of_dialog
from aifeature.admin.common.dialogs import ReasonForm, button, done
from aifeature.admin.common.names import feature_choices, title_of
from aifeature.admin.common.read_only import ControlFilter
from aifeature.admin.common.show import moment_column
from aifeature.admin.controls.confirm_form import ConfirmedForm
from aifeature.admin.controls.confirm_page import ConfirmingAdmin
from aifeature.models import Launch
from aifeature.services.controls import GLOBAL, launches
from aifeature.services.rollout import impact
from aifeature.services.rollout.impact import Impact

_LONGEST_H: Final = 24 * 14
_HOUR: Final = timedelta(hours=1)


class LaunchForm(ConfirmedForm):
    """Requires a note, hours, and a factor that raises the baseline."""

    feature = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    hours = forms.DecimalField(
        min_value=1,
        max_value=_LONGEST_H,
        decimal_places=1,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="Duration. At most 336 (two weeks).",
    )
    note = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        help_text="What is launched. Stored in the audit log.",
    )

    reason_field = "note"

    class Meta:
        # Visitors who may only view get a form without the model's fields.
        help_texts: ClassVar = {"starts_at": "In UTC."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["feature"].choices = [*feature_choices(), (GLOBAL, "Everything")]  # type: ignore[attr-defined]
        if self.instance.pk:
            lasts = self.instance.ends_at - self.instance.starts_at
            self.fields["hours"].initial = Decimal(f"{lasts / _HOUR:.1f}")

    @property
    def subject(self) -> str:
        return f"the launch of {title_of(self.instance.feature)}"

    @property
    def impact(self) -> Impact:
        """The blast radius of this launch."""
        return impact.of(self.instance.feature)

    def clean_factor(self) -> Any:
        """Reject a factor that lowers the baseline."""
        factor = self.cleaned_data["factor"]
        if factor < 1:
            raise forms.ValidationError("Enter 1 or more. A launch raises the expected spend.")
        return factor

    def _post_clean(self) -> None:
        # The model's validation compares the end with the start.
        begin, hours = self.cleaned_data.get("starts_at"), self.cleaned_data.get("hours")
        if begin and hours:
            self.instance.ends_at = begin + float(hours) * _HOUR
        super()._post_clean()  # type: ignore[misc]


class WithdrawForm(ReasonForm):
    @property
    def impact(self) -> Impact | None:
        """The blast radius of the end of this launch."""
        row = row_of_dialog(Launch, self.object_id)
        return impact.of(row.feature) if row else None


@admin.register(Launch)
class LaunchAdmin(ConfirmingAdmin):
    """Announcing, changing and withdrawing a launch each write an audit row."""

    form = LaunchForm
    list_display = ("what", "note", "state", "starts", "ends", "factor", "who")
    list_display_links = ("what",)
    list_select_related = ("announced_by",)
    list_filter = (ControlFilter, "starts_at")
    search_fields = ("note",)
    readonly_fields = ("who", "announced")
    actions_row: Any = ("withdraw",)
    actions_detail: Any = ("withdraw",)
    fieldsets = (
        ("Launch", {"fields": ("feature", "note")}),
        ("Time and size", {"fields": ("starts_at", "hours", "factor")}),
        ("Record", {"fields": ("who", "announced")}),
    )

    starts = moment_column("starts_at", "starts")
    ends = moment_column("ends_at", "ends")
    announced = moment_column("announced_at", "announced")

    @admin.display(description="feature", ordering="feature")
    def what(self, row: Launch) -> str:
        return title_of(row.feature)

    @display(description="state", label={"active": "success", "upcoming": "info", "ended": ""})
    def state(self, row: Launch) -> str:
        now = timezone.now()
        return "ended" if row.ends_at <= now else "active" if row.starts_at <= now else "upcoming"

    @admin.display(description="announced by")
    def who(self, row: Launch) -> str:
        return row.announced_by.get_username() if row.announced_by else "-"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Save through the service, which writes the audit row."""
        if not change:
            obj.announced_at = Now()
        if form.changed_data:
            launches.save(obj, user_id=int(request.user.pk or 0))

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_withdraw_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Require the delete permission. Django's own page takes no reason, so it is off."""
        return request.user.has_perm("aifeature.delete_launch")

    @button(
        "Withdraw",
        permission="withdraw",
        title="Withdraw this launch",
        description="The checks expect the usual spend again immediately.",
        form=WithdrawForm,
        icon="event_busy",
        variant=ActionVariant.DANGER,
    )
    def withdraw(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        reason = form.cleaned_data["reason"]
        launches.withdraw(row, reason=reason, user_id=int(request.user.pk or 0))
        self.message_user(request, "The launch is withdrawn.", messages.SUCCESS)
        return done("admin:aifeature_launch_changelist")
