"""Migration operations that load the SQL functions of this folder.

To change a function, edit it in place with CREATE OR REPLACE and load its file in a new migration.
A function whose arguments or columns change gets a new name, since old and new processes run side
by side during a deploy.

Placeholders in a file: `@user_table@` is the table of AUTH_USER_MODEL, `@user_id@` the column of
its primary key, and `@user_key@` the type of that key (bigint for every integer type).
`@user_groups@` is the table of the users' groups, and `@of_user@` the column that names the user
there and in the lists of invited users.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db import OperationalError, connection, transaction
from django.db.migrations import RunSQL
from django.db.models import IntegerField

from aifeature.models.functions import is_lock_timeout

_FOLDER = Path(__file__).resolve().parent
_UNCHECKED = "SET LOCAL check_function_bodies = off;\n"

TRIES: Final = 30
"""Most tries of a statement that locks a whole table."""

LOCK_S: Final = 1.0
"""Lock timeout of one try, in seconds. All writers queue behind the waiting statement."""

PAUSE_S: Final = 1.0
"""Seconds between two tries, for the queued writers to proceed."""


class Patient(RunSQL):
    """A statement that locks a busy table, in its own transaction, for non-atomic migrations.

    It gives up waiting for the lock soon, so that writers do not queue for long, and retries.
    """

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        self._try(super().database_forwards, app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        self._try(super().database_backwards, app_label, schema_editor, from_state, to_state)

    @staticmethod
    def _try(run: Callable[..., None], app_label: str, schema_editor: Any, *states: Any) -> None:
        for left in reversed(range(TRIES)):
            try:
                with transaction.atomic(schema_editor.connection.alias):
                    schema_editor.execute(f"SET LOCAL lock_timeout = '{LOCK_S:g}s'")
                    run(app_label, schema_editor, *states)
            except OperationalError as error:
                if not (left and is_lock_timeout(error)):
                    raise
                time.sleep(PAUSE_S)
            else:
                return


def load(*names: str) -> list[RunSQL]:
    """Return one operation per file, in this order. Reversing one does nothing.

    Function bodies are not checked: on a new database, an early migration loads today's text, which
    may use tables that a later migration creates.
    """
    return [RunSQL(_UNCHECKED + text(name), RunSQL.noop) for name in names]


def text(name: str) -> str:
    """Return the SQL of a file for this project's user model."""
    found = (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
    for token, value in _user_model().items():
        found = found.replace(token, value)
    return found


@cache
def _user_model() -> dict[str, str]:
    user = get_user_model()._meta  # noqa: SLF001 (public in Django)
    is_number = isinstance(user.pk, IntegerField)
    groups = next((f.m2m_db_table() for f in user.many_to_many if f.name == "groups"), None)
    return {
        "@user_table@": connection.ops.quote_name(user.db_table),
        "@user_id@": connection.ops.quote_name(str(user.pk.column)),
        "@user_groups@": connection.ops.quote_name(groups or f"{user.db_table}_groups"),
        "@of_user@": connection.ops.quote_name(f"{user.model_name}_id"),
        "@user_key@": "bigint" if is_number else str(user.pk.rel_db_type(connection)),
    }
