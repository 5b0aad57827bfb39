"""Failed web requests. The search finds them by the reference that their user saw."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from aifeature.admin.common.read_only import ReadOnlyAdmin
from aifeature.admin.common.show import content_column, moment_column
from aifeature.models import WebFailure
from aifeature.services.texts import references


@admin.register(WebFailure)
class WebFailureAdmin(ReadOnlyAdmin):
    """Time, place and cause of each failure. Log lines contain the same reference."""

    list_display = ("reference", "when", "status", "method", "place", "code")
    list_filter = ("status", "at")
    search_fields = ("reference", "code", "place")
    search_help_text = "A reference such as W-7K3M9QX2PA, a code, or part of an address."
    wide_fields = ("where",)
    fieldsets = (
        (None, {"fields": ("reference", "when", "status", "method", "place", "code", "frames")}),
    )

    when = moment_column("at", "when")
    frames = content_column("where", "innermost frames")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if reference := references.request(search_term):
            return queryset.filter(pk=reference), False
        return super().get_search_results(request, queryset, search_term)
