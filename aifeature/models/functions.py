"""Calls the SQL functions of `aifeature/sql/`: one statement each, and nothing is held after it."""

from __future__ import annotations

import json
from typing import Any

from django.db import connection

from aifeature.models.storable import storable


def rows(function: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """What a function returns. Outside of a transaction the connection then goes to its pool."""
    marks = ", ".join(["%s"] * len(arguments))
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {function}({marks})", arguments)  # noqa: S608 (our names)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found
    finally:
        if not connection.in_atomic_block:
            connection.close()  # back to the pool


def as_json(value: object) -> str | None:
    """A value for a jsonb argument; None is NULL."""
    return None if value is None else json.dumps(storable(value))
