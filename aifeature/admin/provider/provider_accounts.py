"""Provider accounts: whether each can sign in and pay, and when the next probe is due."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from unfold.decorators import display

from aifeature.admin.common.read_only import ReadOnlyAdmin
from aifeature.admin.common.show import moment_column
from aifeature.models import ProviderAccount
from aifeature.services.provider import account_words

COLOURS: Final = {"ok": "success", "stopped": "danger"}

_SHOWN: Final = ("account", "state", "since", "code", "detail")


@admin.register(ProviderAccount)
class ProviderAccountAdmin(ReadOnlyAdmin):
    """One row per account that an error has ever pointed to. Probes change it."""

    list_display = (*_SHOWN, "next_probe")
    list_display_links = ("account",)
    ordering = ("account",)
    fieldsets = (
        (None, {"fields": (*_SHOWN, "meaning", "failed_probes", "next_probe", "last_probe")}),
    )

    since = moment_column("stopped_at", "stopped since")
    next_probe = moment_column("next_probe_at", "next probe")
    last_probe = moment_column("tried_at", "last probe")

    @display(description="state", label=COLOURS)
    def state(self, row: Any) -> str:
        return "stopped" if row.stopped_at else "ok"

    @admin.display(description="meaning")
    def meaning(self, row: Any) -> str:
        if not row.stopped_at:
            return "Calls are sent."
        return account_words.summary(row.account, row.code, row.detail)
