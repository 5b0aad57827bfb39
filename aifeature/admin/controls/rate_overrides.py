"""Exceptions to the rates of a feature, for a user or the members of a group."""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from aifeature.admin.common.base import row_of_dialog
from aifeature.admin.common.dialogs import ReasonForm, button, done
from aifeature.admin.common.names import feature_choices, title_of
from aifeature.admin.common.read_only import FeatureFilter
from aifeature.admin.common.show import moment_column
from aifeature.admin.controls.confirm_form import ConfirmedForm
from aifeature.admin.controls.confirm_page import ConfirmingAdmin
from aifeature.admin.rollout import impact_panel
from aifeature.models import RateOverride
from aifeature.services.controls import rate_overrides
from aifeature.services.rollout.impact import Impact

_RATES = ("requests_per_minute", "tokens_per_minute", "in_flight")


class RateOverrideForm(ConfirmedForm):
    """Requires either a user or a group, at least one rate, and a reason."""

    feature = forms.ChoiceField(
        required=False, widget=UnfoldAdminSelectWidget, help_text="Where these rates apply."
    )
    reason = forms.CharField(
        max_length=500, widget=UnfoldAdminTextInputWidget, help_text="Stored in the audit log."
    )

    class Meta:
        # Visitors who may only view get a form without the model's fields.
        help_texts: ClassVar = {
            "feature": "Where these rates apply.",
            "requests_per_minute": "Submissions. 0.1 means one in ten minutes.",
            "tokens_per_minute": "Tokens of calls.",
            "in_flight": "Jobs that run at the same time. Other jobs wait.",
            "expires_at": "In UTC. Leave empty for no expiry.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["feature"].choices = [("", "Every feature"), *feature_choices()]  # type: ignore[attr-defined]
        for name in _RATES:
            if name in self.fields:
                self.fields[name].widget.attrs["placeholder"] = "same as the feature"

    @property
    def subject(self) -> str:
        return f"the rates in {_where(self.instance)}"

    @property
    def impact(self) -> Impact:
        """The blast radius of this exception."""
        return impact_panel.of_rates(self.instance)

    def clean(self) -> dict[str, Any]:
        """Reject a form without exactly one of user and group, or without a rate."""
        found: dict[str, Any] = super().clean() or {}
        if bool(found.get("user")) == bool(found.get("group")):
            raise ValidationError("Choose either a user or a group.")
        given = [found.get(name) for name in _RATES]
        if not self.errors and all(value is None for value in given):
            raise ValidationError("Enter at least one rate.")
        for name, value in zip(_RATES, given, strict=True):
            if value is not None and value <= 0:
                self.add_error(name, "Enter more than zero. To block a user, clear Active.")
        return found


class LiftForm(ReasonForm):
    @property
    def impact(self) -> Impact | None:
        """The blast radius of the end of this exception."""
        row = row_of_dialog(RateOverride, self.object_id)
        return impact_panel.of_rates(row) if row else None


@admin.register(RateOverride)
class RateOverrideAdmin(ConfirmingAdmin):
    """Creating, changing and lifting an exception each need a reason and write an audit row."""

    form = RateOverrideForm
    list_display = ("whose", "where", *_RATES, "state", "expires", "reason", "who")
    list_display_links = ("whose",)
    list_select_related = ("user", "group", "created_by")
    list_filter = (FeatureFilter, "expires_at")
    search_fields = ("user__username", "group__name", "reason")
    ordering = ("-created_at", "-id")
    autocomplete_fields = ("user", "group")
    readonly_fields = ("who", "created")
    actions_row: Any = ("lift",)
    actions_detail: Any = ("lift",)
    fieldsets = (
        ("Applies to", {"fields": ("user", "group", "feature")}),
        ("Rates", {"fields": _RATES}),
        ("Expiry and reason", {"fields": ("expires_at", "reason")}),
        ("Record", {"fields": ("who", "created")}),
    )

    expires = moment_column("expires_at", "expires")
    created = moment_column("created_at", "created")

    @admin.display(description="applies to", ordering="user__username")
    def whose(self, row: RateOverride) -> str:
        return row.user.get_username() if row.user else f"group {row.group}"

    @admin.display(description="feature", ordering="feature")
    def where(self, row: RateOverride) -> str:
        return _where(row)

    @display(
        description="state",
        label={"in effect": "success", "throttle": "warning", "expired": ""},
    )
    def state(self, row: RateOverride) -> str:
        if row.expires_at and row.expires_at <= timezone.now():
            return "expired"
        return "throttle" if row.check_name else "in effect"

    @admin.display(description="created by")
    def who(self, row: RateOverride) -> str:
        return row.created_by.get_username() if row.created_by else row.check_name or "-"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Save through the service, which writes the audit row."""
        if not change:
            obj.created_at = Now()
        if form.changed_data:
            rate_overrides.save(obj, user_id=int(request.user.pk or 0))

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_lift_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Require the delete permission. Django's own page takes no reason, so it is off."""
        return request.user.has_perm("aifeature.delete_rateoverride")

    @button(
        "Lift",
        permission="lift",
        title="Lift this exception",
        description="The feature's own rates apply again immediately.",
        form=LiftForm,
        icon="delete",
        variant=ActionVariant.DANGER,
    )
    def lift(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        reason = form.cleaned_data["reason"]
        rate_overrides.lift(row, reason=reason, user_id=int(request.user.pk or 0))
        self.message_user(request, "The feature's own rates apply again.", messages.SUCCESS)
        return done("admin:aifeature_rateoverride_changelist")


def _where(row: RateOverride) -> str:
    return title_of(row.feature) if row.feature else "Every feature"
