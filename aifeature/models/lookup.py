"""One row, found by a query that is compiled once.

The ORM compiles a query at every use. For a row found by its key, compiling takes five times as
long as the database and its driver. Every poll reads a token and a job in this way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Expression, Field, Model, QuerySet

M = TypeVar("M", bound=Model)


class Parameter(Expression):
    """Stands in a queryset for a value that is known when a row is looked for."""

    def __init__(self, name: str) -> None:
        """Take the name that the value is given by."""
        super().__init__()
        self.name = name

    def as_sql(self, *_: Any) -> tuple[str, Any]:
        """Be a parameter of the statement."""
        return "%s", [self]


class Lookup(Generic[M]):
    """Finds the row of a queryset with slots: `find(key=...)` gives it, or None."""

    def __init__(self, rows: Callable[[], QuerySet[M]], *, related: str = "") -> None:
        """Prepare; the query is compiled when a row is first looked for.

        Args:
            rows: Makes the queryset, of at most one row whatever is in its slots.
            related: A foreign key whose row is read along, as by `select_related`.
        """
        self._rows = rows
        self._related = related

    def find(self, **values: Any) -> M | None:
        """Return the row with these values in the slots, with all its fields."""
        sql, params, own, others = self._compiled
        with connection.cursor() as cursor:
            cursor.execute(sql, [values[p.name] if isinstance(p, Parameter) else p for p in params])
            row = cursor.fetchone()
        if row is None:
            return None
        found = own.made(row)
        if others is not None:
            setattr(found, self._related, others.made(row[len(own.names) :]))
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
    """The columns of a model, in the order they are read in."""

    def __init__(self, model: type[Model]) -> None:
        self._model = model
        fields: list[Field[Any, Any]] = list(model._meta.concrete_fields)  # noqa: SLF001 (public in Django)
        self.names = [field.attname for field in fields]
        self._read = [
            (place, cast("Any", field).from_db_value)
            for place, field in enumerate(fields)
            if hasattr(field, "from_db_value")
        ]

    def made(self, row: tuple[Any, ...]) -> Model:
        """Return the instance whose values the row begins with."""
        values = list(row[: len(self.names)])
        for place, read in self._read:
            values[place] = read(values[place], None, connection)
        return self._model.from_db(DEFAULT_DB_ALIAS, self.names, values)
