"""Runs the command, and reads the whole database."""

from __future__ import annotations

import io

from django.core.management import call_command
from django.db import connection

from tests.integration.privacy.personal_data.conftest import NAME

CASE = "Request 17 of 3 March."


def run(name: str = NAME, *options: str, reason: str = CASE) -> str:
    out = io.StringIO()
    call_command("erase_user", name, "--yes", "--reason", reason, *options, stdout=out, stderr=out)
    connection.close()
    return out.getvalue()


def whole_database() -> str:
    """Return every row of every table as text."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT t::text FROM "{table}" t')  # noqa: S608 (from the catalog)
            found += [f"{table}: {row}" for (row,) in cursor.fetchall()]
    return "\n".join(sorted(found))


def lines_with(word: str) -> list[str]:
    return [line for line in whole_database().splitlines() if word.lower() in line.lower()]
