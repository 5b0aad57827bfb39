"""Admin pages of silences."""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from unfold.decorators import display

from aifeature.admin.alerting import alert_page
from aifeature.admin.common.dialogs import ReasonForm, button, done
from aifeature.admin.common.read_only import ReadOnlyAdmin
from aifeature.admin.common.show import moment_column
from aifeature.models import Silence
from aifeature.services.alerting import handling
from aifeature.services.alerting.handling import HandlingRefusedError


@admin.register(Silence)
class SilenceAdmin(ReadOnlyAdmin):
    """Silences, newest first. They are made at an alert."""

    list_display = ("kind", "subject", "state", "ends", "reason", "who", "created")
    list_display_links = ("kind",)
    list_filter = ("until",)
    list_select_related = ("created_by",)
    search_fields = ("kind", "subject", "reason")
    actions_row: Any = ("lift",)
    actions_detail: Any = ("lift",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("kind", "subject", "state", "ends", "lifted", "reason", "who", "created"),
                )
            },
        ),
    )

    ends = moment_column("until", "until")
    created = moment_column("created_at", "created")
    lifted = moment_column("lifted_at", "lifted")

    @display(description="state", label={"active": "warning", "over": ""})
    def state(self, row: Silence) -> str:
        return "over" if row.lifted_at or row.until <= timezone.now() else "active"

    @admin.display(description="created by")
    def who(self, row: Silence) -> str:
        return row.created_by.get_username() if row.created_by else "-"

    def has_handle_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm(alert_page.HANDLE)

    @button(
        "Lift",
        permission="handle",
        title="Lift this silence",
        description="Alerts of this kind and subject are sent again from now on.",
        form=ReasonForm,
        icon="notifications_active",
    )
    def lift(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        try:
            reason = form.cleaned_data["reason"]
            was_active = handling.lift(row.pk, reason=reason, user_id=int(request.user.pk or 0))
        except HandlingRefusedError as error:
            raise ValidationError(str(error)) from None
        text = "The silence is lifted." if was_active else "The silence was over already."
        self.message_user(request, text, messages.SUCCESS)
        may_view = self.has_view_permission(request)
        return done("admin:aifeature_silence_changelist" if may_view else "admin:index")
