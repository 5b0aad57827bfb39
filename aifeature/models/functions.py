"""Calls the SQL functions of `aifeature/sql/`: one statement each, and nothing is held after it."""

from __future__ import annotations

import json
from typing import Any

import psycopg
from django.db import connection

from aifeature.models.storable import storable


def rows(function: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """What a function returns. Outside of a transaction the connection then goes to its pool.

    The cursor is psycopg's own. Django's puts the arguments into the text, so each call is parsed
    and planned anew; here the server takes them, and prepares what is called again and again.
    """
    marks = ", ".join(["%s"] * len(arguments))
    try:
        connection.close_if_health_check_failed()
        connection.ensure_connection()
        with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
            cursor.execute(f"SELECT * FROM {function}({marks})", arguments)  # noqa: S608 (our names)
            return cursor.fetchall()
    finally:
        if not connection.in_atomic_block:
            connection.close()  # back to the pool


def as_json(value: object) -> str | None:
    """A value for a jsonb argument; None is NULL."""
    return None if value is None else json.dumps(storable(value))
