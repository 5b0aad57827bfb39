"""The changes that a migration may make while processes of the release before still run.

Every change that may do harm is named. One that is made all the same, a contract step or a reviewed
change, is listed with its reason in test_migrations.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.contrib.postgres import operations as postgres
from django.db import connection, models
from django.db.migrations import Migration, RunSQL, operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models.fields import NOT_PROVIDED

HOT: Final = frozenset({"job", "attempt"})
"""Tables that never stand still: nothing may lock them for as long as it takes to read them."""

HARMLESS: Final = (
    operations.CreateModel,
    operations.AlterModelOptions,
    operations.AlterModelManagers,
    operations.RemoveConstraint,  # loosens
    postgres.AddIndexConcurrently,
    postgres.RemoveIndexConcurrently,
    postgres.ValidateConstraint,
)

_QUOTED: Final = re.compile(r"\$(\w*)\$.*?\$\1\$|--[^\n]*|'(?:[^']|'')*'", re.DOTALL)
_FUNCTION: Final = re.compile(
    r"CREATE OR REPLACE FUNCTION aif_\w+\s*\(|SET LOCAL check_function_bodies", re.IGNORECASE
)


def problems(migration: Migration, before: ProjectState) -> Iterator[str]:
    """Name the changes of this migration that may break processes of the release before.

    Args:
        migration: As loaded.
        before: The models as they are before it; stays as it is.
    """
    state = before.clone()
    made: set[str] = set()
    for operation in migration.operations:
        for problem in _problems_of(operation, state, made, migration.app_label):
            yield f"{migration.name}: {problem}"
        if isinstance(operation, operations.CreateModel):
            made.add(operation.name_lower)
        operation.state_forwards(migration.app_label, state)
    if migration.atomic and any(_is_concurrent(each) for each in migration.operations):
        yield f"{migration.name}: builds an index CONCURRENTLY, which needs atomic = False"


def changed_signatures(released: Iterable[str], found: Iterable[str]) -> Iterator[str]:
    """Functions whose name stayed while their arguments or columns changed, or that are gone.

    Args:
        released: Lines of `name(arguments) -> result`, as processes may call them.
        found: The same, as the database has them now.
    """
    known, present = set(released), set(found)
    names = {line.partition("(")[0] for line in known}
    for line in sorted(present - known):
        if line.partition("(")[0] in names:
            yield f"{line}: give the new form a new name, the old one is still called"
        else:
            yield f"{line}: is new, add this line to the list"
    for line in sorted(known - present):
        yield f"{line}: is gone, and a process of the release before may call it"


def _problems_of(
    operation: Operation, state: ProjectState, made: set[str], app: str
) -> Iterator[str]:
    of_this_migration = getattr(operation, "model_name_lower", None) in made
    if of_this_migration or isinstance(operation, HARMLESS):
        return
    match operation:
        case RunSQL():
            yield from _sql_problems(str(operation.sql))
        case operations.SeparateDatabaseAndState():
            for part in operation.database_operations:
                yield from _problems_of(part, state, made, app)
        case operations.AddField():
            yield from _new_field_problems(operation)
        case operations.AlterField():
            yield from _changed_field_problems(operation, state, app)
        case operations.AddConstraint():
            yield from _constraint_problems(operation)
        case operations.AddIndex() | operations.RemoveIndex():
            if operation.model_name_lower in HOT:
                yield f"{_named(operation)}: locks the table, do it CONCURRENTLY"
        case _:
            yield f"{_named(operation)}: the release before may still need it as it was"


def _new_field_problems(operation: Any) -> Iterator[str]:
    field = operation.field
    if field.many_to_many:
        return
    if isinstance(field, models.GeneratedField):
        yield f"{_named(operation)}: a generated column rewrites the table"
    elif not field.null and field.db_default is NOT_PROVIDED:
        yield f"{_named(operation)}: NOT NULL needs a db_default, old code does not name the column"
    if operation.model_name_lower in HOT and (field.unique or field.db_index):
        yield f"{_named(operation)}: builds an index and locks the table, add it CONCURRENTLY"


def _changed_field_problems(operation: Any, state: ProjectState, app: str) -> Iterator[str]:
    after = state.clone()
    operation.state_forwards(app, after)
    old, new = (
        each.apps.get_model(app, operation.model_name)._meta.get_field(operation.name)
        for each in (state, after)
    )
    if old.null and not new.null:
        yield f"{_named(operation)}: old code may still write NULL"
    if old.db_default is not NOT_PROVIDED and new.db_default is NOT_PROVIDED and not new.null:
        yield f"{_named(operation)}: old code relies on the db_default"
    if not _widened(old, new):
        yield f"{_named(operation)}: another type rewrites the table, or does not hold old values"
    if operation.model_name_lower in HOT and (new.unique, new.db_index) > (
        old.unique,
        old.db_index,
    ):
        yield f"{_named(operation)}: builds an index and locks the table, add it CONCURRENTLY"


def _widened(old: Any, new: Any) -> bool:
    """Whether the column's type is the same, or a longer text."""
    types = [field.db_type(connection) for field in (old, new)]
    if types[0] == types[1]:
        return True
    both_texts = all(isinstance(field, models.CharField | models.TextField) for field in (old, new))
    longest = [getattr(field, "max_length", None) or float("inf") for field in (old, new)]
    return both_texts and longest[0] <= longest[1]


def _constraint_problems(operation: Any) -> Iterator[str]:
    if operation.model_name_lower in HOT and not isinstance(
        operation, postgres.AddConstraintNotValid
    ):
        yield f"{_named(operation)}: locks the table, use AddConstraintNotValid"
    else:
        yield f"{_named(operation)}: refuses rows; say why old code writes none of them"


def _sql_problems(text: str) -> Iterator[str]:
    # Bodies, comments and strings first: they may hold anything.
    for statement in _QUOTED.sub(" ", text).split(";"):
        words = " ".join(statement.split())
        if words and not _FUNCTION.match(words):
            yield f"SQL: {words[:90]}"


def _named(operation: Any) -> str:
    model = getattr(operation, "model_name", None) or getattr(operation, "name", "")
    part = operation.name if hasattr(operation, "model_name") and hasattr(operation, "name") else ""
    for holder in ("index", "constraint"):
        part = getattr(getattr(operation, holder, None), "name", part)
    return f"{type(operation).__name__} {model}{'.' if part else ''}{part}"


def _is_concurrent(operation: Operation) -> bool:
    return isinstance(operation, postgres.AddIndexConcurrently | postgres.RemoveIndexConcurrently)
