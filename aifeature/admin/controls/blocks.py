"""Blocks: users who may not use a feature, or all features."""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

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
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from aifeature.admin.common.base import ModelAdmin
from aifeature.admin.common.dialogs import ReasonForm, button, done
from aifeature.admin.common.names import feature_choices, title_of
from aifeature.admin.common.read_only import FeatureFilter
from aifeature.admin.common.show import moment_column
from aifeature.models import AccessBlock
from aifeature.services.access import blocks

if TYPE_CHECKING:  # only the stubs' class takes a model
    _ModelForm = forms.ModelForm[AccessBlock]
else:
    _ModelForm = forms.ModelForm


class AccessBlockForm(_ModelForm):
    """Requires a reason, and an end that is not over."""

    feature = forms.ChoiceField(
        required=False, widget=UnfoldAdminSelectWidget, help_text="Where the block applies."
    )
    reason = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        help_text="Stored in the audit log. The user does not read it.",
    )
    message = forms.CharField(
        required=False,
        max_length=300,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="The user reads it in place of the feature, with the end of the block. Empty: the"
        " user gets a 404, as if the feature did not exist.",
    )

    class Meta:
        help_texts: ClassVar = {"expires_at": "In UTC. Leave empty for a block without end."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["feature"].choices = [("", "Every feature"), *feature_choices()]  # type: ignore[attr-defined]
        if not self.instance.pk:
            self.fields["message"].initial = blocks.DEFAULT_MESSAGE

    def clean_message(self) -> str:
        """Return the message on one line, as it is stored."""
        return " ".join(self.cleaned_data["message"].split())

    def clean_expires_at(self) -> datetime | None:
        """Reject an end that is over: the block would do nothing."""
        end: datetime | None = self.cleaned_data["expires_at"]
        if end and "expires_at" in self.changed_data and end <= timezone.now():
            raise ValidationError("This time is over. Enter a later one, or none.")
        return end


@admin.register(AccessBlock)
class AccessBlockAdmin(ModelAdmin):
    """Creating, changing and lifting a block each need a reason and write an audit row.

    The address may name the user and the feature of a new block: `?user=7&feature=summarize`.
    """

    form = AccessBlockForm
    list_display = ("whose", "where", "state", "expires", "reason", "who")
    list_display_links = ("whose",)
    list_select_related = ("user", "created_by")
    list_filter = (FeatureFilter, "expires_at")
    search_fields = ("user__username", "reason")
    ordering = ("-created_at", "-id")
    autocomplete_fields = ("user",)
    readonly_fields = ("who", "created")
    actions_row: Any = ("lift",)
    actions_detail: Any = ("lift",)
    fieldsets = (
        ("Applies to", {"fields": ("user", "feature")}),
        ("What the user reads", {"fields": ("message",)}),
        ("End and reason", {"fields": ("expires_at", "reason")}),
        ("Record", {"fields": ("who", "created")}),
    )

    expires = moment_column("expires_at", "ends")
    created = moment_column("created_at", "created")

    @admin.display(description="user", ordering="user__username")
    def whose(self, row: AccessBlock) -> str:
        return row.user.get_username()

    @admin.display(description="feature", ordering="feature")
    def where(self, row: AccessBlock) -> str:
        return title_of(row.feature) if row.feature else "Every feature"

    @display(
        description="state", label={"with a message": "danger", "as a 404": "danger", "over": ""}
    )
    def state(self, row: AccessBlock) -> str:
        if row.expires_at and row.expires_at <= timezone.now():
            return "over"
        return "with a message" if row.message else "as a 404"

    @admin.display(description="created by")
    def who(self, row: AccessBlock) -> str:
        return row.created_by.get_username() if row.created_by else "-"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Save through the service, which writes the audit row."""
        if not change:
            obj.created_at = Now()
        if form.changed_data or not change:
            blocks.save(obj, user_id=int(request.user.pk or 0))

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_lift_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Require the delete permission. Django's own page takes no reason, so it is off."""
        return request.user.has_perm("aifeature.delete_accessblock")

    @button(
        "Lift",
        permission="lift",
        title="Lift this block",
        description="The user may use the feature again within a second, if its stage lets them.",
        form=ReasonForm,
        icon="lock_open",
        variant=ActionVariant.DANGER,
    )
    def lift(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        blocks.lift(row, reason=form.cleaned_data["reason"], user_id=int(request.user.pk or 0))
        self.message_user(request, "The block is lifted.", messages.SUCCESS)
        return done("admin:aifeature_accessblock_changelist")
