"""The base of every admin page: rejects invalid filters and ids before they reach the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.contrib.admin.widgets import AutocompleteSelect, AutocompleteSelectMultiple
from django.core.exceptions import BadRequest, ValidationError
from django.db import transaction
from django.db.models import Field, Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold import admin, views
from unfold.widgets import INPUT_CLASSES

_Row = TypeVar("_Row", bound=Model)


class ChangeList(views.ChangeList):
    """A list that accepts only the lookups of its own filters.

    Django passes every other lookup of an address to the database. Many of them fail there, and a
    client could guess a digest by its prefix or run a regular expression.
    """

    def get_filters(self, request: HttpRequest) -> Any:
        """Return Django's filters.

        Raises:
            IncorrectLookupParameters: The address has a lookup that no filter offers, or a day that
                does not exist.
        """
        try:
            found = super().get_filters(request)
        except (OverflowError, ValueError) as error:  # the day after the last one there is
            raise IncorrectLookupParameters(error) from None
        not_offered = [name for name, value in found[2].items() if not self._is_day(name, value)]
        if not_offered:
            raise IncorrectLookupParameters(", ".join(not_offered))
        return found

    def _is_day(self, name: str, value: Any) -> bool:
        """Return whether Django made this lookup of a date hierarchy. An address has texts only."""
        made = {f"{self.date_hierarchy}__gte", f"{self.date_hierarchy}__lt"}
        values = value if isinstance(value, list) else [value]
        return name in made and all(isinstance(each, datetime) for each in values)


class _Chosen(AutocompleteSelect):
    """A search field that drops invalid ids. Django's own fails when it renders one again."""

    def optgroups(self, name: str, value: Sequence[str], attr: Any = None) -> Any:
        pk = self.field.remote_field.model._meta.pk  # noqa: SLF001 (public in Django)
        return super().optgroups(name, [text for text in value if _fits(pk, text)], attr)

    def render(self, name: str, *args: Any, **kwargs: Any) -> SafeString:
        """Render the field and, because search needs JavaScript, a text field for an id."""
        return format_html(
            '{}<noscript><input type="text" name="{}" class="{}" placeholder="{}"></noscript>',
            super().render(name, *args, **kwargs),
            f"{name}-id",
            " ".join(INPUT_CLASSES),
            "or an ID",
        )

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """Return the id that was typed, else the choice."""
        return data.get(f"{name}-id", "").strip() or super().value_from_datadict(data, files, name)


class _ManyChosen(_Chosen, AutocompleteSelectMultiple):
    """The same for several rows. Typed ids, separated by commas, are added to the choices."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        chosen = AutocompleteSelectMultiple.value_from_datadict(self, data, files, name) or []
        typed = data.get(f"{name}-id", "").split(",")
        return [*chosen, *(each.strip() for each in typed if each.strip())]


class ModelAdmin(admin.ModelAdmin):
    """Unfold's `ModelAdmin`. A malformed row id means "not found" or status 400."""

    locks_while_saving: ClassVar[bool] = False
    """Whether a save locks its row before reading it, so that saves do not overlap."""

    def get_changelist(self, request: HttpRequest, **_: Any) -> Any:
        del request
        return ChangeList

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Use our search field for autocomplete fields."""
        if db_field.name in self.get_autocomplete_fields(request):
            using = kwargs.get("using")
            kwargs.setdefault("widget", _Chosen(db_field, self.admin_site, using=using))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            using = kwargs.get("using")
            kwargs.setdefault("widget", _ManyChosen(db_field, self.admin_site, using=using))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """Return the row, or None. Lock it first if this request saves it."""
        if self.locks_while_saving and _is_saving(request) and self._is_id(object_id):
            self.model._default_manager.select_for_update().filter(pk=object_id).first()  # noqa: SLF001 (public in Django)
        return super().get_object(request, object_id, from_field)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **more: Any
    ) -> Any:
        """Run the action on the selected rows.

        Raises:
            BadRequest: A selected value cannot be the id of a row.
        """
        if not all(map(self._is_id, request.POST.getlist(ACTION_CHECKBOX_NAME))):
            raise BadRequest("A selected value is not the id of a row.")
        return super().response_action(request, queryset, *args, **more)

    def _is_id(self, text: str) -> bool:
        return _fits(self.opts.pk, text)


def row_of_dialog(model: type[_Row], object_id: object) -> _Row | None:
    """Return the row of a dialog's address; None if it has none."""
    pk = unquote(str(object_id))
    is_id = _fits(model._meta.pk, pk)  # noqa: SLF001 (public in Django)
    return model._default_manager.filter(pk=pk).first() if is_id else None  # noqa: SLF001


def _fits(field: Field[Any, Any], text: str) -> bool:
    """Return whether the text can be a value of this field."""
    try:
        field.to_python(text)
    except (ValidationError, ValueError):
        return False
    return "\0" not in text


def _is_saving(request: HttpRequest) -> bool:
    return request.method == "POST" and transaction.get_connection().in_atomic_block
