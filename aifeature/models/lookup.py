"""Single rows, found by a query that is compiled once.

The ORM compiles a query at every use. For a row found by its key, compiling takes five times as
long as the database and its driver. Every poll reads a token and a job this way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Expression, Field, Model, QuerySet

M = TypeVar("M", bound=Model)


class Parameter(Expression):
    """Placeholder in a queryset for a value given at each lookup."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def as_sql(self, *_: Any) -> tuple[str, Any]:
        return "%s", [self]


class Lookup(Generic[M]):
    """A queryset with placeholders. `find(key=...)` returns its row, or None."""

    def __init__(self, rows: Callable[[], QuerySet[M]], *, related: str = "") -> None:
        """Store the queryset. It is compiled at the first lookup.

        Args:
            rows: Returns the queryset. It must have at most one row for any values.
            related: A foreign key whose row is fetched too, as by `select_related`.
        """
        self._rows = rows
        self._related = related

    def find(self, **values: Any) -> M | None:
        """Return the row for these values, with all its fields, or None."""
        sql, params, own, others = self._compiled
        with connection.cursor() as cursor:
            cursor.execute(sql, [values[p.name] if isinstance(p, Parameter) else p for p in params])
            row = cursor.fetchone()
        if row is None:
            return None
        found = own.build(row)
        if others is not None:
            setattr(found, self._related, others.build(row[len(own.names) :]))
        return cast("M", found)

    @cached_property
    def _compiled(self) -> tuple[str, list[Any], _Columns, _Columns | None]:
        rows = self._rows()
        own = _Columns(rows.model)
        others = None
        names = list(own.names)
        if self._related:
            key = rows.model._meta.get_field(self._related)  # noqa: SLF001 (public in Django)
            others = _Columns(cast("Any", key).related_model)
            names += [f"{self._related}__{name}" for name in others.names]
        sql, params = rows.order_by().values_list(*names).query.sql_with_params()
        return sql, list(params), own, others


class _Columns:
    def __init__(self, model: type[Model]) -> None:
        self._model = model
        fields: list[Field[Any, Any]] = list(model._meta.concrete_fields)  # noqa: SLF001 (public in Django)
        self.names = [field.attname for field in fields]
        self._converters = [
            (place, cast("Any", field).from_db_value)
            for place, field in enumerate(fields)
            if hasattr(field, "from_db_value")
        ]

    def build(self, row: tuple[Any, ...]) -> Model:
        """Return an instance from the first values of the row."""
        values = list(row[: len(self.names)])
        for place, convert in self._converters:
            values[place] = convert(values[place], None, connection)
        return self._model.from_db(DEFAULT_DB_ALIAS, self.names, values)
