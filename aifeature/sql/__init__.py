"""Loads the SQL functions of this folder in a migration.

A function is edited in place, with CREATE OR REPLACE, and a new migration names its file again;
one whose arguments or columns change gets a new name, so that old and new processes run side
by side during a deploy.
"""

from __future__ import annotations

from pathlib import Path

from django.db.migrations import RunSQL

_FOLDER = Path(__file__).resolve().parent
_UNCHECKED = "SET LOCAL check_function_bodies = off;\n"


def load(*names: str) -> list[RunSQL]:
    """One operation per file, in this order; undoing one does nothing.

    Bodies are not checked: on a new database an early migration loads the text of today, which may
    name what a later one makes.
    """
    return [RunSQL(_UNCHECKED + _text(name), RunSQL.noop) for name in names]


def _text(name: str) -> str:
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
