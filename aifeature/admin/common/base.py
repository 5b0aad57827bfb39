"""The base of every admin page: what an address or a form may hold, before the database sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.widgets import AutocompleteSelect, AutocompleteSelectMultiple
from django.core.exceptions import BadRequest, ValidationError
from django.db import transaction
from django.db.models import Field, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold import admin, views
from unfold.widgets import INPUT_CLASSES


class ChangeList(views.ChangeList):
    """A list that is filtered by its own filters, and by nothing else.

    Django passes any other lookup of an address on to the database, where many values of many
    lookups are errors, and where a regular expression or the start of a digest may be tried out.
    """

    def get_filters(self, request: HttpRequest) -> Any:
        """The filters, as Django has them.

        Raises:
            IncorrectLookupParameters: the address holds a lookup that no filter offers.
        """
        found = super().get_filters(request)
        not_offered = found[2]
        if not_offered:
            raise IncorrectLookupParameters(", ".join(not_offered))
        return found


class _Chosen(AutocompleteSelect):
    """A search field. Django's own ends in an error when it shows a choice that is no id again."""

    def optgroups(self, name: str, value: Sequence[str], attr: Any = None) -> Any:
        """The options that are chosen."""
        pk = self.field.remote_field.model._meta.pk  # noqa: SLF001 (public in Django)
        return super().optgroups(name, [text for text in value if _fits(pk, text)], attr)

    def render(self, name: str, *args: Any, **kwargs: Any) -> SafeString:
        """The field, and one for an id, since nothing can be searched without JavaScript."""
        return format_html(
            '{}<noscript><input type="text" name="{}" class="{}" placeholder="{}"></noscript>',
            super().render(name, *args, **kwargs),
            f"{name}-id",
            " ".join(INPUT_CLASSES),
            "or an id",
        )

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """What was chosen, or the id that was typed."""
        return data.get(f"{name}-id", "").strip() or super().value_from_datadict(data, files, name)


class _ManyChosen(_Chosen, AutocompleteSelectMultiple):
    """The same for several; ids that were typed, with commas between them, are added."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """What was chosen and typed."""
        chosen = AutocompleteSelectMultiple.value_from_datadict(self, data, files, name) or []
        typed = data.get(f"{name}-id", "").split(",")
        return [*chosen, *(each.strip() for each in typed if each.strip())]


class ModelAdmin(admin.ModelAdmin):
    """Unfold's own. A row that an address or a form cannot name is not found, or answered 400."""

    locks_while_saving: ClassVar[bool] = False
    """Whether a save locks its row when it reads it, so that two saves cannot."""

    def get_changelist(self, request: HttpRequest, **_: Any) -> Any:
        """The list with checked filters."""
        del request
        return ChangeList

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The form's field, with our search field where it is one."""
        if db_field.name in self.get_autocomplete_fields(request):
            using = kwargs.get("using")
            kwargs.setdefault("widget", _Chosen(db_field, self.admin_site, using=using))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The same for several rows."""
        if db_field.name in self.get_autocomplete_fields(request):
            using = kwargs.get("using")
            kwargs.setdefault("widget", _ManyChosen(db_field, self.admin_site, using=using))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """The row, or None."""
        if self.locks_while_saving and _is_saving(request) and self._is_id(object_id):
            self.model._default_manager.select_for_update().filter(pk=object_id).first()  # noqa: SLF001 (public in Django)
        return super().get_object(request, object_id, from_field)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **more: Any
    ) -> Any:
        """Run the action on the rows that were selected.

        Raises:
            BadRequest: a selected value cannot be the id of a row.
        """
        if not all(map(self._is_id, request.POST.getlist(ACTION_CHECKBOX_NAME))):
            raise BadRequest("What was selected is no row of this list.")
        return super().response_action(request, queryset, *args, **more)

    def _is_id(self, text: str) -> bool:
        return _fits(self.opts.pk, text)


def _fits(field: Field[Any, Any], text: str) -> bool:
    """Whether a value of this field can have this text."""
    try:
        field.to_python(text)
    except (ValidationError, ValueError):
        return False
    return "\0" not in text


def _is_saving(request: HttpRequest) -> bool:
    return request.method == "POST" and transaction.get_connection().in_atomic_block
