"""Django forms generated from the input models of features."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.datastructures import MultiValueDict

from aifeature.spec import Feature
from aifeature.web import schema, schema_fields, uploads

PREFIX = "in"
"""Prefix of field names, so that they do not collide with the page's own."""


class SchemaForm(forms.Form):
    """The base of the forms that `form_class` generates."""

    max_file_bytes: int
    """Maximum size of a text file that is loaded into a field."""

    lists: frozenset[str]
    """Required list fields. An empty list is a value."""

    nulls: frozenset[str]
    """Required fields whose value is null if they are left empty."""

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        files: MultiValueDict[str, UploadedFile[Any]] | None = None,
        **options: Any,
    ) -> None:
        """Use the text of an uploaded file as the value of its field."""
        read: Mapping[str, Any] | None = data
        self._unreadable: dict[str, str] = {}
        if data is not None and files:
            read = self._with_files(data, files)
        super().__init__(read, prefix=PREFIX, use_required_attribute=False, **options)

    def clean(self) -> dict[str, Any]:
        """Add an error to the field of each file that could not be read."""
        for name, message in self._unreadable.items():
            self.errors.pop(name, None)  # such as "this field is required"
            self.add_error(name, message)
        return self.cleaned_data

    def value(self) -> dict[str, Any]:
        """Return the input of the feature, without empty optional fields."""
        found = {}
        for name, field in self.fields.items():
            cleaned = self.cleaned_data.get(name)
            if cleaned not in field.empty_values or name in self.lists:
                found[name] = schema_fields.to_json(field, cleaned)
            elif name in self.nulls:
                found[name] = None
        return found

    def refuse(self, problems: Any) -> None:
        for problem in problems:
            name = problem["field"].split(".")[0]
            self.add_error(name if name in self.fields else None, problem["message"])

    def _with_files(
        self, data: Mapping[str, Any], files: MultiValueDict[str, UploadedFile[Any]]
    ) -> Mapping[str, Any]:
        read: Any = data.copy()  # type: ignore[attr-defined]  # a QueryDict
        for name, field in self.base_fields.items():
            file = files.get(f"{PREFIX}-{name}-file")
            if file is None or not getattr(field, "takes_file", False):
                continue
            try:
                read[f"{PREFIX}-{name}"] = uploads.text_of(file, max_bytes=self.max_file_bytes)
            except uploads.UnreadableFileError as error:
                self._unreadable[name] = str(error)
        return read  # type: ignore[no-any-return]


def initial(form: type[SchemaForm], value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an earlier input as initial values of its form."""
    shown = {
        name: schema_fields.from_json(field, value[name])
        for name, field in form.base_fields.items()
        if name in value
    }
    return {name: each for name, each in shown.items() if each is not None}


@cache
def form_class(feature: Feature) -> type[SchemaForm]:
    whole = feature.input_model.model_json_schema()
    root = schema.resolved(whole, whole)  # a recursive model's schema is a reference
    required = set(root.get("required", ()))
    fields = {
        name: schema_fields.field(name, found, whole, required=name in required)
        for name, found in root.get("properties", {}).items()
    }
    lists = frozenset(n for n in required & set(fields) if schema_fields.is_list(fields[n]))
    nullable = {
        n for n, p in root.get("properties", {}).items() if schema.without_null(p, whole)[1]
    }
    own: dict[str, Any] = {
        "max_file_bytes": feature.limits.max_input_bytes,
        "lists": lists - nullable,
        "nulls": frozenset(required & nullable),
    }
    return type(f"{feature.slug.title()}Form", (SchemaForm,), {**fields, **own})
