"""Admin pages of channels."""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from aifeature.admin.alerting.channel_forms import ChannelForm
from aifeature.admin.common.base import ModelAdmin
from aifeature.admin.common.dialogs import ReasonForm, button, done
from aifeature.admin.common.show import Labelled, moment_column, utc
from aifeature.models import AlertChannel
from aifeature.services.channels import deliveries, register

_LIST = "admin:aifeature_alertchannel_changelist"


@admin.register(AlertChannel)
class AlertChannelAdmin(ModelAdmin):
    """Channels. Each change needs a reason and writes an audit row without the address."""

    form = ChannelForm
    list_display = ("name", "state", "kind_shown", "masked", "used_for", "worked", "last_problem")
    list_display_links = ("name",)
    ordering = ("name",)
    actions_row: Any = ("test", "delete_channel")
    actions_detail: Any = ("test", "delete_channel")
    readonly_fields = ("masked", "state", "worked", "last_problem", "created", "who")

    class Media:
        css = {"all": ["aifeature/admin.css"]}  # noqa: RUF012 (Django's form of it)

    worked = moment_column("sent_at", "last message")
    created = moment_column("created_at", "created")

    @display(
        description="state",
        label={"works": "success", "fails": "danger", "lost": "danger", "new": "info", "off": ""},
    )
    def state(self, row: AlertChannel) -> Labelled:
        if not row.is_enabled:
            return Labelled("off", "disabled")
        if register.trouble(row):
            return Labelled("lost", "key lost")
        if row.failing_since:
            return Labelled("fails", f"fails since {utc(row.failing_since)}")
        if row.problem:
            return Labelled("fails", "test failed")
        return Labelled("works", "works") if row.sent_at else Labelled("new", "not tested")

    @admin.display(description="present address")
    def masked(self, row: AlertChannel) -> str:
        return row.shown

    @admin.display(description="kind")
    def kind_shown(self, row: AlertChannel) -> str:
        return "Webhook" if row.kind == AlertChannel.Kind.WEBHOOK else "Apprise"

    @admin.display(description="used for")
    def used_for(self, row: AlertChannel) -> str:
        return "escalation" if row.is_escalation else "first line"

    @admin.display(description="last problem")
    def last_problem(self, row: AlertChannel) -> str:
        return register.trouble(row) or row.problem or "-"

    @admin.display(description="created by")
    def who(self, row: AlertChannel) -> str:
        return row.created_by.get_username() if row.created_by else "-"

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        if obj is None:
            added = ("name", "kind", "new_address", "is_escalation", "reason")
            return [(None, {"fields": added})]
        state = ("State", {"fields": ("state", "worked", "last_problem", "created", "who")})
        if not self.has_change_permission(request, obj):
            seen = ("name", "masked", "is_enabled", "is_escalation")
            return [(None, {"fields": seen}), state]
        webhook = isinstance(obj, AlertChannel) and obj.kind == AlertChannel.Kind.WEBHOOK
        secret = ("renews_secret",) if webhook else ()
        parts = ("name", "masked", "new_address", *secret, "is_enabled", "is_escalation", "reason")
        return [(None, {"fields": parts}), state]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Name the two uses of a channel."""
        if db_field.name == "is_escalation":
            kwargs["label"] = "Only for escalations"
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Save through the service, which encrypts the address and writes the audit row."""
        values, by = form.cleaned_data, int(request.user.pk or 0)
        if not change:
            made, secret = register.add(
                name=values["name"],
                kind=values["kind"],
                address=values["new_address"],
                is_escalation=values["is_escalation"],
                reason=values["reason"],
                user_id=by,
            )
            obj.pk = made.pk
            obj.refresh_from_db()
        else:
            secret = register.change(
                obj.pk,
                name=values["name"],
                is_enabled=values["is_enabled"],
                is_escalation=values["is_escalation"],
                address=values["new_address"],
                renews_secret=values.get("renews_secret", False),
                reason=values["reason"],
                user_id=by,
            )
        if secret:
            text = f"Copy the secret of {obj} now. It is shown only once: {secret}"
            self.message_user(request, text, messages.SUCCESS)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_remove_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Require the delete permission. Django's own page takes no reason, so it is off."""
        return request.user.has_perm("aifeature.delete_alertchannel")

    def has_test_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("aifeature.send_test_alert")

    @button(
        "Send a test",
        permission="test",
        title="Send a test message",
        description="It says that there is nothing to do. The result is shown here within a few"
        " seconds. A success ends the alert about this channel.",
        icon="send",
    )
    def test(self, request: HttpRequest, _form: BaseDialogForm, object_id: str) -> HttpResponse:
        row = self._channel(request, object_id)
        problem = deliveries.send_test(row)
        if problem:
            text = f"The test of {row} failed. {problem}"
            self.message_user(request, text, messages.ERROR)
        else:
            text = f"{row} accepted the test. Check that it arrived."
            self.message_user(request, text, messages.SUCCESS)
        return self._back(request)

    @button(
        "Delete",
        permission="remove",
        title="Delete this channel",
        description="Its deliveries are deleted too. Nothing is sent to it any more. To keep them,"
        " disable it instead.",
        form=ReasonForm,
        icon="delete",
        variant=ActionVariant.DANGER,
    )
    def delete_channel(
        self, request: HttpRequest, form: ReasonForm, object_id: str
    ) -> HttpResponse:
        row = self._channel(request, object_id)
        reason = form.cleaned_data["reason"]
        register.delete(row.pk, reason=reason, user_id=int(request.user.pk or 0))
        self.message_user(request, f"The channel {row} is deleted.", messages.SUCCESS)
        return self._back(request)

    def _channel(self, request: HttpRequest, object_id: str) -> AlertChannel:
        row: AlertChannel | None = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        return row

    def _back(self, request: HttpRequest) -> HttpResponse:
        return done(_LIST if self.has_view_permission(request) else "admin:index")
