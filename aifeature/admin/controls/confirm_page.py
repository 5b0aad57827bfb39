"""The page before a save: what changes, and its blast radius. It works without JavaScript."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

from aifeature.admin.common.base import ModelAdmin
from aifeature.admin.common.show import utc
from aifeature.admin.controls.confirm_form import BACK, MARK, ConfirmedForm

_NOT_SENT_AGAIN: Final = frozenset({"csrfmiddlewaretoken", MARK, BACK})

_MOST_NAMES: Final = 20


class ConfirmingAdmin(ModelAdmin):
    """Shows what valid changes of a `ConfirmedForm` affect before they are stored."""

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **more: Any
    ) -> Any:
        form = context["adminform"].form
        if form.must_confirm:
            found = {**context, **_context(request, form)}
            return TemplateResponse(request, "aifeature/admin/confirm.html", found)
        return super().render_change_form(request, context, *args, **more)


def _context(request: HttpRequest, form: ConfirmedForm) -> dict[str, Any]:
    """Return what the page shows, and the values that it sends again."""
    sent = request.POST.lists()
    return {
        "title": f"Check this change of {form.subject}",
        "changes": [
            {
                "name": form[name].label,
                "old": None if form.is_new else _shown(form, name, form.old_value(name)),
                "new": _shown(form, name, value),
            }
            for name, value in form.new_values.items()
        ],
        "reason_name": form[form.reason_field].label,
        "reason": form.cleaned_data[form.reason_field],
        "impact": form.impact,
        "doubts": getattr(form, "doubts", ()),
        "hidden": [
            *((name, each) for name, all_ in sent if name not in _NOT_SENT_AGAIN for each in all_),
            (MARK, form.mark),
        ],
        "back": BACK,
    }


def _shown(form: ConfirmedForm, name: str, value: Any) -> str:
    if isinstance(value, QuerySet | list | tuple):
        return _names(value)
    field = form.fields[name]
    if isinstance(field, forms.ModelChoiceField):
        return _name(field, value)
    choices = dict(getattr(field, "choices", ()))
    if value in choices:
        return str(choices[value])
    if value in (None, ""):
        return "not set"
    return utc(value) if isinstance(value, datetime) else str(value)


def _name(field: forms.ModelChoiceField[Any], value: Any) -> str:
    """Return the name of a row, which a form has as its id before the change."""
    try:
        row = field.to_python(value)
    except ValidationError:
        return str(value)
    return "not set" if row is None else str(row)


def _names(rows: Iterable[Model]) -> str:
    names = [str(row) for row in rows]
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more if names else "nobody"
