"""The audit log of the controls."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.utils.html import format_html

from aifeature.admin.common.read_only import ControlFilter, ReadOnlyAdmin
from aifeature.admin.common.show import moment, moment_column
from aifeature.models import ControlChange
from aifeature.services.alerting import handling
from aifeature.services.controls import GLOBAL
from aifeature.services.watch import schedule

LATEST = 50
NAMES = {
    GLOBAL: "Everything",
    schedule.AUDIT_NAME: "Schedule",
    handling.AUDIT_NAME: "Alerts",
}
_ACCOUNT = re.compile(r"#([0-9]+)")
_WITH_ACCOUNTS = frozenset({"beta_users", "rate_override", "access_block", handling.ASSIGNED})
"""Fields whose values contain account ids."""

_WITH_GROUPS = frozenset({"beta_groups"})
"""Fields whose values contain ids of groups."""


class _AuditFilter(ControlFilter):
    def choose(self) -> Iterable[tuple[str, str]]:
        others = (schedule.AUDIT_NAME, handling.AUDIT_NAME)
        return [*super().choose(), *((name, NAMES[name]) for name in others)]


@admin.register(ControlChange)
class ControlChangeAdmin(ReadOnlyAdmin):
    """Every change of a control: its author, both values and the reason."""

    list_display = ("changed", "control", "field", "before", "after", "who", "reason")
    list_display_links = ("changed",)
    list_filter = (_AuditFilter, "field", "at")
    list_select_related = ("user",)
    search_fields = ("reason", "user__username", "check_name")
    fieldsets = (
        (None, {"fields": ("changed", "control", "field", "before", "after", "who", "reason")}),
    )

    changed = moment_column("at", "when")

    @admin.display(description="feature", ordering="feature")
    def control(self, change: ControlChange) -> str:
        return named(change)

    @admin.display(description="from")
    def before(self, change: ControlChange) -> str:
        return _value(change, change.old)

    @admin.display(description="to")
    def after(self, change: ControlChange) -> str:
        return _value(change, change.new)

    @admin.display(description="who")
    def who(self, change: ControlChange) -> str:
        return made_by(change)


def made_by(change: ControlChange) -> str:
    """Return the name of the user, check or command that made a change."""
    return change.user.get_username() if change.user else change.check_name or "-"


def note_list(
    slug: str, field: str, before: set[int], after: set[int], *, reason: str, user_id: int
) -> None:
    """Write the audit row of a changed list of invited users or groups, with their ids.

    Audit rows are never edited, and a user may be erased: so there are ids instead of names.
    """
    kind = "groups" if field in _WITH_GROUPS else "users"
    marks = [f"+#{pk}" for pk in sorted(after - before)]
    marks += [f"-#{pk}" for pk in sorted(before - after)]
    ControlChange.objects.create(
        feature=slug,
        field=field,
        old=f"{len(before)} {kind}",
        new=f"{len(after)} {kind} ({', '.join(marks)})",
        reason=reason,
        user_id=user_id,
    )


def latest(rows: QuerySet[ControlChange]) -> dict[str, Any]:
    """Return the latest of these changes, newest first, as headers and rows of a table."""
    return table(rows.select_related("user")[:LATEST])


def table(rows: Iterable[ControlChange], *, with_control: bool = False) -> dict[str, Any]:
    """Return headers and rows of a table of these changes; `with_control` adds their features."""
    headers = ["when", "who", "field", "from → to", "reason"]
    return {
        "headers": ["feature", *headers] if with_control else headers,
        "rows": [[*([named(row)] if with_control else []), *_cells(row)] for row in rows],
    }


def _value(change: ControlChange, text: str) -> str:
    """Return a value with the ids, which the audit log stores, replaced by current names."""
    ids = {int(found) for found in _ACCOUNT.findall(text)}
    if change.field in _WITH_GROUPS:
        names = dict(Group.objects.filter(pk__in=ids).values_list("pk", "name"))
    elif change.field in _WITH_ACCOUNTS:
        users = get_user_model().objects.filter(pk__in=ids)
        names = {user.pk: user.get_username() for user in users}
    else:
        return text
    return _ACCOUNT.sub(lambda found: names.get(int(found[1]), found[0]), text)


def named(change: ControlChange) -> str:
    """Return the name of the changed control: everything, the schedule, a feature or a model."""
    return NAMES.get(change.feature, change.feature) or change.model


def _cells(change: ControlChange) -> list[str]:
    return [
        moment(change.at),
        made_by(change),
        change.field,
        format_html(
            "{} → {}",
            _value(change, change.old) or "not set",
            _value(change, change.new) or "not set",
        ),
        change.reason,
    ]
