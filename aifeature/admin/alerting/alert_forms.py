"""Forms of the dialogs about an alert."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django import forms
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.utils import timezone
from unfold.forms import BaseDialogForm
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
)

from aifeature.admin.common.dialogs import ReasonForm

_HOURS: Final = {"1": "for 1 hour", "4": "for 4 hours"}
_UNTIL: Final = "until"


class AcknowledgeForm(BaseDialogForm):
    reason = forms.CharField(
        label="Note",
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        help_text="Optional. Stored in the audit log.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, auto_id="dialog_%s", **kwargs)


class AssignForm(ReasonForm):
    """Offers the active accounts of the staff."""

    to = forms.ChoiceField(label="Assign to", required=False, widget=UnfoldAdminSelectWidget)
    field_order = ("to", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        staff = get_user_model().objects.filter(is_active=True, is_staff=True)
        people = [(str(user.pk), user.get_username()) for user in staff.order_by("username")]
        self.fields["to"].choices = [("", "Nobody"), *people]  # type: ignore[attr-defined]
        self.fields["to"].initial = str(self.request.user.pk)

    @property
    def to_id(self) -> int | None:
        chosen = self.cleaned_data["to"]
        return int(chosen) if chosen else None


class SilenceForm(ReasonForm):
    """The time without messages, and the reason."""

    lasts = forms.ChoiceField(
        label="Send nothing",
        choices=[*_HOURS.items(), (_UNTIL, "until the time below")],
        widget=UnfoldAdminSelectWidget,
    )
    until = forms.SplitDateTimeField(
        required=False,
        widget=UnfoldAdminSplitDateTimeWidget,
        help_text="In UTC, at most 7 days from now. Only for the last choice.",
    )
    field_order = ("lasts", "until", "reason")

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        if values.get("lasts") == _UNTIL and not values.get("until") and not self.errors:
            raise ValidationError("Enter the time until which nothing is sent.")
        return values

    @property
    def end(self) -> datetime:
        values = self.cleaned_data
        if values["lasts"] == _UNTIL:
            found: datetime = values["until"]
            return found
        return timezone.now() + timedelta(hours=int(values["lasts"]))
