"""Users and groups. A user with records is never deleted."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from unfold.enums import ActionVariant
from unfold.forms import (
    AdminPasswordChangeForm,
    BaseDialogForm,
    UserChangeForm,
    UserCreationForm,
)

from aifeature.admin.common.base import ModelAdmin
from aifeature.admin.common.dialogs import button, done
from aifeature.admin.common.personal_data import WithoutPersonalDataForm
from aifeature.admin.sign_in.reach import is_within_reach
from aifeature.models import (
    AccessBlock,
    ApiToken,
    Attempt,
    ControlChange,
    Job,
    Launch,
    RateOverride,
)
from aifeature.services.sign_in import sign_ins

admin.site.unregister(User)
admin.site.unregister(Group)

_RECORDS: tuple[tuple[type[Model], str, str], ...] = (
    (Job, "user", "has jobs. Jobs and their cost are kept. Deactivate the user instead."),
    (Attempt, "user", "has provider calls in the ledger. Deactivate the user instead."),
    (Attempt, "settled_by", "has settled calls in the ledger. Deactivate the user instead."),
    (ControlChange, "user", "has changes in the audit log. Deactivate the user instead."),
    (RateOverride, "created_by", "has created rate exceptions. Deactivate the user instead."),
    (AccessBlock, "created_by", "has blocked users. Deactivate the user instead."),
    (Launch, "announced_by", "has announced launches. Deactivate the user instead."),
)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg, misc]
    """Staff who are not superusers edit and close accounts without rights, and grant none.

    Only a superuser sets the password of another user, since it gives access to the user's jobs.
    """

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    show_full_result_count = False
    actions_detail: Any = ("sign_out",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fields = tuple(super().get_readonly_fields(request, obj))
        if request.user.is_superuser:
            return fields
        return (*fields, "is_staff", "is_superuser", "groups", "user_permissions")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_within_reach(request, obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_within_reach(request, obj) and super().has_delete_permission(request, obj)

    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002 (Django's own name)
        form_url: str = "",
    ) -> HttpResponse:
        """Set a password.

        Raises:
            PermissionDenied: the visitor is not a superuser.
        """
        if not request.user.is_superuser:
            raise PermissionDenied
        answer = super().user_change_password(request, id, form_url)
        if request.method == "POST" and answer.status_code == HTTPStatus.FOUND:
            sign_ins.note(request, request.user)  # Django changed the key of the visitor's session
            user = self.get_object(request, unquote(id))
            if user is not None and not user.has_usable_password():
                sign_ins.end_all(user)  # sessions end by themselves only with a new password
        return answer

    def has_sign_out_permission(self, request: HttpRequest, _object_id: Any = None) -> bool:
        """Require the change permission. The action also checks the account."""
        return request.user.has_perm("auth.change_user")

    @button(
        "Sign out everywhere",
        permission="sign_out",
        title="Sign this user out everywhere?",
        description="Ends every session and revokes every API token immediately. Jobs continue."
        " To stop them too, clear Active.",
        icon="logout",
        variant=ActionVariant.DANGER,
    )
    def sign_out(self, request: HttpRequest, _form: BaseDialogForm, object_id: str) -> HttpResponse:
        user = self.get_object(request, unquote(object_id))
        if user is None:
            raise Http404
        if not is_within_reach(request, user):
            raise PermissionDenied
        revoked = sign_ins.end_all(user)
        self.log_change(request, user, "Signed out everywhere.")
        text = f"{user} is signed out everywhere. {revoked} API tokens were revoked."
        self.message_user(request, text, messages.SUCCESS)
        return done("admin:auth_user_change", user.pk)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
        """Return the rows that are deleted with these users, or why the users are kept.

        Checks our records first: Django would load every job of a user to list it.
        """
        if reasons := list(_kept_by(objs)):
            return [], {}, set(), reasons
        deleted, counts, missing, protected = super().get_deleted_objects(objs, request)
        # These rows cannot be deleted alone, but are deleted with their user.
        for model in (ApiToken, RateOverride):
            missing.discard(model._meta.verbose_name)  # noqa: SLF001 (Django's documented API)
        return deleted, counts, missing, protected


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]
    """Only a superuser changes groups, since a group can grant any permission."""

    form = WithoutPersonalDataForm

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return request.user.is_superuser


def _kept_by(users: Iterable[User]) -> Iterable[str]:
    for user in users:
        for model, who, what in _RECORDS:
            if model._default_manager.filter(**{who: user}).exists():  # noqa: SLF001 (public in Django)
                yield f"{user.get_username()} {what}"
