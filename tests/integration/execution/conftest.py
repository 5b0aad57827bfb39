"""Waiting for a condition, and a database that refuses writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection

PATIENCE_S = 30.0
"""Most seconds that a test waits for an event. The event usually comes immediately."""


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "the condition did not become true"
        time.sleep(0.01)


@contextmanager
def refusing(write: str, when: str, code: str) -> Iterator[None]:
    """Let the database refuse a write such as `UPDATE ON table` if `when` holds for the row."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse_it() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE 'refused: canary' USING ERRCODE = '{code}'; END $$"
        )
        cursor.execute(
            f"CREATE TRIGGER refuse_it BEFORE {write} "
            f"FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse_it()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse_it CASCADE")
