"""API tokens: issued and shown once, revoked, never edited."""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from aifeature.admin.common.base import ModelAdmin
from aifeature.admin.common.dialogs import button, done
from aifeature.admin.common.show import moment_column
from aifeature.admin.sign_in.reach import is_within_reach
from aifeature.models import ApiToken


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state) for state in ("valid", "expired", "revoked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> QuerySet[ApiToken]:
        kept = queryset.filter(revoked_at=None)
        match self.value():
            case "valid":
                return kept.exclude(expires_at__lte=Now())
            case "expired":
                return kept.filter(expires_at__lte=Now())
            case "revoked":
                return queryset.exclude(revoked_at=None)
        return queryset


@admin.register(ApiToken)
class ApiTokenAdmin(ModelAdmin):
    """Tokens are revoked, with the change permission, and never edited or deleted.

    A token acts as its user. So only a superuser may issue one for another user, or revoke those of
    accounts with rights.
    """

    list_display = (
        "name",
        "user",
        "hint_shown",
        "scope",
        "created",
        "last_used",
        "expires",
        "state",
    )
    list_select_related = ("user",)
    list_filter = (StateFilter, "last_used_at", "expires_at")
    search_fields = ("name", "hint", "user__username")
    show_full_result_count = False
    autocomplete_fields = ("user",)
    actions_row: Any = ("revoke",)
    actions_detail: Any = ("revoke",)
    add_fieldsets: Any = ((None, {"fields": ("user", "name", "expires_at", "may_submit")}),)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("name", "user", "hint_shown", "scope", "created", "last_used", "expires"),
                    *("revoked", "state"),
                )
            },
        ),
    )
    readonly_fields = (
        *("hint_shown", "scope", "created", "last_used", "expires", "revoked", "state"),
    )

    created = moment_column("created_at", "created")
    last_used = moment_column("last_used_at", "last used")
    revoked = moment_column("revoked_at", "revoked")
    expires = moment_column("expires_at", "expires")

    @admin.display(description="starts with")
    def hint_shown(self, token: ApiToken) -> str:
        return f"{token.hint}…"

    @admin.display(description="access")
    def scope(self, token: ApiToken) -> str:
        return token.scope

    @display(
        description="state", label={"valid": "success", "revoked": "danger", "expired": "warning"}
    )
    def state(self, token: ApiToken) -> str:
        if token.revoked_at:
            return "revoked"
        is_over = token.expires_at is not None and token.expires_at <= timezone.now()
        return "expired" if is_over else "valid"

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Replace the column's help text, which is written for developers."""
        if db_field.name == "expires_at":
            kwargs["help_text"] = "In UTC. Leave empty for no expiry."
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Let staff who are not superusers issue tokens only for themselves."""
        if db_field.name == "user" and not request.user.is_superuser:
            kwargs["queryset"] = get_user_model().objects.filter(pk=int(request.user.pk or 0))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Issue the token and show its text once. The text is not stored."""
        if not request.user.is_superuser and obj.user_id != request.user.pk:
            raise PermissionDenied
        issued, text = ApiToken.issue(user_id=obj.user_id, name=obj.name, may_submit=obj.may_submit)
        ApiToken.objects.filter(pk=issued.pk).update(expires_at=obj.expires_at)
        obj.pk = issued.pk
        obj.refresh_from_db()
        self.message_user(
            request,
            f"Copy the token now. It is shown only once: {text}",
            messages.SUCCESS,
        )

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest, _object_id: object = None) -> bool:
        """Require the change permission. Tokens are never edited, so it means revoking."""
        return request.user.has_perm("aifeature.change_apitoken")

    @button(
        "Revoke",
        permission="revoke",
        title="Revoke this token?",
        description="Every later request with it is refused. You cannot undo this.",
        icon="key_off",
        variant=ActionVariant.DANGER,
    )
    def revoke(self, request: HttpRequest, _form: BaseDialogForm, object_id: str) -> HttpResponse:
        token = self.get_object(request, unquote(object_id))
        if token is None:
            raise Http404
        if token.user_id != request.user.pk and not is_within_reach(request, token.user):
            raise PermissionDenied
        if ApiToken.objects.filter(pk=token.pk).revoke():
            self.log_change(request, token, "Revoked.")
        self.message_user(request, f"{token} is revoked.", messages.SUCCESS)
        return done("admin:aifeature_apitoken_changelist")
