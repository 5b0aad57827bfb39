"""Form fields whose text is JSON, or a number as JSON has it."""

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
    """A value that was entered. An empty list is one, and so is null."""

    value: Any

    @classmethod
    def unwrapped(cls, cleaned: Any) -> Any:
        """Return what a form has cleaned, as JSON has it."""
        return cleaned.value if isinstance(cleaned, cls) else cleaned


class _Entered(str):
    """The text as it was entered, which is shown again as it is."""

    __slots__ = ()


class JsonValue(forms.Field):
    """Any value, written as JSON. For objects, lists of anything but text, and alternatives."""

    widget = forms.Textarea(attrs={"rows": 6, "spellcheck": "false"})

    def __init__(self, *, required: bool) -> None:
        """Prepare a field; empty text is no value."""
        super().__init__(required=required, help_text="Written as JSON.")

    def to_python(self, value: Any) -> Given | None:
        """The value of the text; None if there is none."""
        if not isinstance(value, str) or not value.strip():
            return None
        try:
            return Given(json_values.parse(value))
        except json_values.NotJsonError as error:
            raise forms.ValidationError(str(error)) from None

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What was entered."""
        return _Entered(data or "") if not self.disabled else initial

    def prepare_value(self, value: Any) -> Any:
        """The text that the page shows."""
        if isinstance(value, Given):
            return json.dumps(value.value, indent=2, ensure_ascii=False)
        return value


class Number(forms.FloatField):
    """A number; a whole one keeps all its digits."""

    def to_python(self, value: Any) -> Any:
        """The number; None if none was entered."""
        number = super().to_python(value)
        text = str(value).strip()
        return int(text) if _WHOLE.fullmatch(text) else number
