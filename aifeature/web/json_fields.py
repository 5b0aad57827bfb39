"""Form fields for JSON values and JSON numbers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from django import forms

from aifeature.services.payloads import json_values

_WHOLE: Final = re.compile(rf"[+-]?[0-9]{{1,{json_values.MAX_DIGITS}}}")


@dataclass(frozen=True, slots=True)
class Given:
    """An entered value, which may be an empty list or null."""

    value: Any

    @classmethod
    def unwrapped(cls, cleaned: Any) -> Any:
        """Return the JSON value of a cleaned value."""
        return cleaned.value if isinstance(cleaned, cls) else cleaned


class _Entered(str):
    """Text as entered, shown again unchanged."""

    __slots__ = ()


class JsonValue(forms.Field):
    """A value written as JSON: an object, a list of anything but text, or an alternative."""

    widget = forms.Textarea(attrs={"rows": 6, "spellcheck": "false"})

    def __init__(self, *, required: bool) -> None:
        super().__init__(required=required, help_text="Enter JSON.")

    def to_python(self, value: Any) -> Given | None:
        """Parse the text. Return None if it is empty."""
        if not isinstance(value, str) or not value.strip():
            return None
        try:
            return Given(json_values.parse(value))
        except json_values.NotJsonError as error:
            raise forms.ValidationError(str(error)) from None

    def bound_data(self, data: Any, initial: Any) -> Any:
        return _Entered(data or "") if not self.disabled else initial

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, Given):
            return json.dumps(value.value, indent=2, ensure_ascii=False)
        return value


class Number(forms.FloatField):
    """A number. An integer keeps all its digits."""

    def to_python(self, value: Any) -> Any:
        number = super().to_python(value)
        text = str(value).strip()
        return int(text) if _WHOLE.fullmatch(text) else number
