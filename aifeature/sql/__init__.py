"""Loads the SQL functions of this folder in a migration.

A function is edited in place, with CREATE OR REPLACE, and a new migration names its file again;
one whose arguments or columns change gets a new name, so that old and new processes run side
by side during a deploy.

In a file, `@user_table@` stands for the table of AUTH_USER_MODEL, `@user_id@` for the column of its
primary key, and `@user_key@` for that key's type; every integer type is a bigint.
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
"""How often a statement is tried that needs the lock of a whole table."""

LOCK_S: Final = 1.0
"""Seconds that a try waits for it: everybody who wants to write waits behind it."""

PAUSE_S: Final = 1.0
"""Seconds between two tries, in which those who waited go on."""


class Patient(RunSQL):
    """A statement that locks a table which never stands still, in a transaction of its own.

    For migrations that are not atomic. It gives up its place in the queue for the lock soon, so
    that nobody waits long behind it, and comes back a few times.
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
    """One operation per file, in this order; undoing one does nothing.

    Bodies are not checked: on a new database an early migration loads the text of today, which may
    name what a later one makes.
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
    return {
        "@user_table@": connection.ops.quote_name(user.db_table),
        "@user_id@": connection.ops.quote_name(str(user.pk.column)),
        "@user_key@": "bigint" if is_number else str(user.pk.rel_db_type(connection)),
    }
