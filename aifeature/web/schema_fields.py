"""Form fields made from JSON Schemas, and their values as JSON."""

from __future__ import annotations

from typing import Any, Final

from django import forms

from aifeature.web import choices, schema
from aifeature.web.json_fields import Given, JsonValue, Number
from aifeature.web.schema import Schema

FEW: Final = 5
"""Maximum number of choices shown as radio buttons; more become a drop-down list."""

NOT_SAID: Final = ("", "No preference")
INPUT_TYPES: Final = {
    "date": "date",
    "date-time": "datetime-local",
    "time": "time",
    "email": "email",
    "uri": "url",
}


class LongText(forms.CharField):
    """Text of many lines. A line end counts as one character and is stored as one."""

    takes_file = True
    """Whether a text file can be loaded into the field."""

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value)).replace("\r\n", "\n")


class Lines(LongText):
    """A list of texts, one per line."""

    takes_file = False


def field(name: str, found: Schema, root: Schema, *, required: bool) -> forms.Field:
    """Return the field for one property. A JSON field takes what no other field can."""
    value, nullable = schema.without_null(found, root)
    made = _made(value, root, required=required and not nullable)
    made.label = schema.label(name, found)
    made.help_text = " ".join(filter(None, (value.get("description"), str(made.help_text))))
    if value.get("default") is not None:
        made.initial = from_json(made, value["default"])
    return made


def to_json(made: forms.Field, cleaned: Any) -> Any:
    if isinstance(made, Lines):
        return [line.strip() for line in cleaned.splitlines() if line.strip()]
    if isinstance(made, forms.TypedMultipleChoiceField):
        return [Given.unwrapped(each) for each in cleaned]
    return Given.unwrapped(cleaned)


def from_json(made: forms.Field, value: Any) -> Any:
    """Return a JSON value as an initial value of the field."""
    if isinstance(made, Lines):
        return "\n".join(map(str, value)) if isinstance(value, list) else value
    if isinstance(made, JsonValue):
        return Given(value)
    if isinstance(made, forms.TypedMultipleChoiceField):
        return [choices.key(made, each) for each in value] if isinstance(value, list) else None
    if isinstance(made, forms.TypedChoiceField):
        return choices.key(made, value)
    return value


def is_list(made: forms.Field) -> bool:
    """Return whether the field's value is a list, for which empty is a valid value."""
    return isinstance(made, Lines | forms.MultipleChoiceField)


def _made(value: Schema, root: Schema, *, required: bool) -> forms.Field:  # noqa: PLR0911 (one per type)
    if (allowed := schema.choices(value)) is not None:
        return _choice(allowed, required=required, chosen=value.get("default") is not None)
    if schema.is_decimal(value):
        return forms.CharField(required=required)  # a float would change its last digits
    match value.get("type"):
        case "string":
            return _text(value, required=required)
        case "integer":
            return forms.IntegerField(
                required=required,
                min_value=value.get("minimum"),
                max_value=value.get("maximum"),
                step_size=value.get("multipleOf"),
            )
        case "number":
            return Number(
                required=required,
                min_value=value.get("minimum"),
                max_value=value.get("maximum"),
                widget=forms.NumberInput(attrs={"step": value.get("multipleOf", "any")}),
            )
        case "boolean":
            return _flag(required=required, value=value)
        case "array":
            return _list(value, root, required=required)
        case _:
            return JsonValue(required=required)


def _text(value: Schema, *, required: bool) -> forms.Field:
    limits: dict[str, Any] = {
        "min_length": value.get("minLength"),
        "max_length": value.get("maxLength"),
    }
    kind = value.get("format")
    if kind == "textarea":
        # No maxlength attribute: browsers cut pasted text without a message.
        return _uncut(
            LongText(
                required=required,
                strip=False,
                widget=forms.Textarea(attrs={"rows": 10, "data-max": limits["max_length"]}),
                **limits,
            )
        )
    shown = forms.TextInput(attrs={"autocomplete": "off"})
    if kind in INPUT_TYPES:
        shown.input_type = INPUT_TYPES[kind]
    return _uncut(forms.CharField(required=required, widget=shown, **limits))


def _uncut(made: forms.Field) -> forms.Field:
    made.widget.attrs.pop("maxlength", None)
    made.widget.attrs.pop("minlength", None)
    if made.widget.attrs.get("data-max") is None:
        made.widget.attrs.pop("data-max", None)
    return made


def _choice(allowed: list[Any], *, required: bool, chosen: bool) -> forms.Field:
    pairs, coerce = choices.of(allowed)
    few = len(pairs) <= FEW
    if not required and not chosen:
        pairs.insert(0, NOT_SAID)
    elif not few and not chosen:
        pairs.insert(0, ("", "Choose one"))
    return forms.TypedChoiceField(
        choices=pairs,
        required=required,
        coerce=coerce,
        empty_value=None,
        widget=forms.RadioSelect() if few else forms.Select(),
        error_messages={"required": "Choose one."},
    )


def _flag(*, required: bool, value: Schema) -> forms.Field:
    if required or value.get("default") is not None:
        return Flag(required=False)
    pairs = [NOT_SAID, ("true", "Yes"), ("false", "No")]
    return forms.TypedChoiceField(
        choices=pairs,
        required=False,
        coerce={"true": True, "false": False}.__getitem__,
        empty_value=None,
        widget=forms.RadioSelect(),
    )


class Flag(forms.BooleanField):
    """Yes or no. No is a value, so it is never left out as empty."""

    empty_values = ()


def _list(value: Schema, root: Schema, *, required: bool) -> forms.Field:
    items, nullable = schema.without_null(value.get("items", {}), root)
    if (allowed := schema.choices(items)) is not None and not nullable:
        pairs, coerce = choices.of(allowed)
        return forms.TypedMultipleChoiceField(
            choices=pairs,
            required=required and bool(value.get("minItems")),
            coerce=coerce,
            widget=forms.CheckboxSelectMultiple(),
        )
    if items.get("type") == "string" and not nullable:
        return Lines(
            required=required and bool(value.get("minItems")),
            widget=forms.Textarea(attrs={"rows": 4}),
        )
    return JsonValue(required=required)
