"""Accounts that staff may change. No member of staff can gain rights through another account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def is_within_reach(request: HttpRequest, account: User | None) -> bool:
    """Return whether the visitor may change this account, or act for it.

    A superuser may change every account. Other staff may change accounts without rights: not staff,
    not superuser, no permission and no group. None means no particular account.
    """
    if request.user.is_superuser or account is None or account.pk is None:
        return True
    if account.is_staff or account.is_superuser:
        return False
    return not (account.groups.exists() or account.user_permissions.exists())
