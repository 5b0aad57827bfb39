"""Read-only pages. Their lists stay fast at a million rows."""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.paginator import InfinitePaginator

from aifeature import prompts, registry
from aifeature.admin.common.base import ModelAdmin
from aifeature.admin.common.names import feature_choices
from aifeature.services.controls import GLOBAL


class ReadOnlyAdmin(ModelAdmin):
    """A list and a detail page, read-only for all permissions, without COUNT(*)."""

    paginator = InfinitePaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each facet is a COUNT over the table
    list_per_page = 50
    list_disable_select_all = True

    class Media:
        css: ClassVar = {"all": ["aifeature/admin.css"]}

    wide_fields: ClassVar[tuple[str, ...]] = ()
    """Columns with content, which the list does not read."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        match = request.resolver_match
        if match is not None and (match.url_name or "").endswith("_changelist"):
            rows = rows.defer(*self.wide_fields)
        return rows

    def get_readonly_fields(
        self, request: HttpRequest, obj: Model | None = None
    ) -> tuple[str, ...]:
        return tuple(str(name) for _, part in self.fieldsets or () for name in part["fields"])

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def as_uuid(term: str) -> UUID | None:
    try:
        return UUID(term.strip())
    except ValueError:
        return None


class ChoiceFilter(admin.SimpleListFilter):
    """A filter with choices from the code. Django would run a DISTINCT query."""

    def choose(self) -> Iterable[tuple[str, str]]:
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(self.choose())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset if value is None else queryset.filter(**{str(self.parameter_name): value})


class FeatureFilter(ChoiceFilter):
    title = "feature"
    parameter_name = "feature"

    def choose(self) -> Iterable[tuple[str, str]]:
        return feature_choices()


class ControlFilter(FeatureFilter):
    def choose(self) -> Iterable[tuple[str, str]]:
        return [*super().choose(), (GLOBAL, "Everything")]


class ModelFilter(ChoiceFilter):
    title = "model"
    parameter_name = "model"

    def choose(self) -> Iterable[tuple[str, str]]:
        features = registry.all_features().values()
        return [
            (m, m) for m in sorted({m for feature in features for m in prompts.models(feature)})
        ]
