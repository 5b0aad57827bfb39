"""Forms of other apps' rows, whose names and texts cannot be replaced when they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.db.models import CharField, Model, TextField

from aifeature.models.free_text import free_text

if TYPE_CHECKING:  # only the stubs' class takes a model
    _Form = forms.ModelForm[Any]
else:
    _Form = forms.ModelForm

REFUSED: Final = "This text has personal data or a secret in it. Remove it; nothing was stored."


def refused(row: Model) -> Iterator[tuple[str, str]]:
    """Yield the fields of a row with personal data in their text, each with a sentence."""
    for field in row._meta.concrete_fields:  # noqa: SLF001 (public in Django)
        text = getattr(row, field.attname)
        if isinstance(field, CharField | TextField) and text and free_text(text) != text:
            yield field.name, REFUSED


class WithoutPersonalDataForm(_Form):
    """Refuses texts with personal data."""

    def _post_clean(self) -> None:
        # The row has its new values only after the model's validation.
        super()._post_clean()  # type: ignore[misc]
        for name, sentence in refused(self.instance):
            self.add_error(name if name in self.fields else None, sentence)
