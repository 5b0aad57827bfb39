"""A form that is stored in two steps: the second needs a mark of the values that were shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.db.models import Model, QuerySet

from aifeature.services.rollout.impact import Impact

if TYPE_CHECKING:  # only the stubs' class takes a model
    _ModelForm = forms.ModelForm[Any]
else:
    _ModelForm = forms.ModelForm

CONFIRM: Final = "confirm"
"""Code of the error that requests a confirmation."""

MARK: Final = "confirmed"
"""Name of the field with the mark."""

BACK: Final = "_back"
"""Name of the button that returns from the confirmation to the form."""


class _MarkField(forms.CharField):
    """A hidden field that is never a change."""

    widget = forms.HiddenInput

    def has_changed(self, initial: Any, data: Any) -> bool:
        del initial, data
        return False


class ConfirmedForm(_ModelForm):
    """Is invalid until the person saw what its changes affect. See `confirm_page`."""

    confirmed = _MarkField(required=False)
    """Mark of the changes whose blast radius the person saw."""

    reason_field: ClassVar[str] = "reason"
    not_changes: ClassVar[frozenset[str]] = frozenset()
    """Other fields that are no value of the row."""
    harmless: ClassVar[frozenset[str]] = frozenset()
    """Fields that change nothing about users, jobs or spend of today."""

    @property
    def subject(self) -> str:
        """The changed row in words, at the end of a sentence."""
        raise NotImplementedError

    @property
    def impact(self) -> Impact:
        """The blast radius of the valid values."""
        raise NotImplementedError

    @property
    def is_new(self) -> bool:
        return self.instance.pk is None

    @property
    def must_confirm(self) -> bool:
        """Whether the values are valid, and the person did not see yet what they affect."""
        return self.has_error(NON_FIELD_ERRORS, CONFIRM)

    @property
    def values_changed(self) -> list[str]:
        """Names of the fields with a new value. The reason is not one of them."""
        others = self.not_changes | {self.reason_field}
        return [name for name in self.changed_data if name not in others]

    @property
    def new_values(self) -> dict[str, Any]:
        """The new values by field, only those that change."""
        return {name: self.cleaned_data[name] for name in self.values_changed}

    def old_value(self, name: str) -> Any:
        """Return the value before the change."""
        return self.get_initial_for_field(self.fields[name], name)

    @property
    def mark(self) -> str:
        """A digest of the row and of its changes, with the values before them."""
        words = [
            f"{name}={_stored(self.old_value(name))}>{_stored(value)}"
            for name, value in sorted(self.new_values.items())
        ]
        return hashlib.sha256("\n".join([self.basis, *words]).encode()).hexdigest()[:16]

    @property
    def basis(self) -> str:
        """The state of the row to which the changes apply."""
        return str(self.instance.pk)

    def full_clean(self) -> None:
        """Validate, then request a confirmation of a change that affects users, jobs or spend."""
        super().full_clean()
        if not self.is_bound or self.errors:
            return
        if BACK in self.data:
            self.add_error(None, "You went back. Change the values, then save again.")
        elif self._is_risky and self.cleaned_data.get(MARK) != self.mark:
            text = "Confirm this change: it affects users."
            self.add_error(None, forms.ValidationError(text, code=CONFIRM))

    @property
    def _is_risky(self) -> bool:
        return not self.harmless.issuperset(self.values_changed)


def _stored(value: Any) -> str:
    """Return a value as text that is the same for each request with the same value."""
    if isinstance(value, QuerySet | list | tuple):
        return ",".join(str(pk) for pk in sorted(_pks(value)))
    return str(value.pk if isinstance(value, Model) else value)


def _pks(rows: Iterable[Any]) -> list[Any]:
    return [row.pk for row in rows]
