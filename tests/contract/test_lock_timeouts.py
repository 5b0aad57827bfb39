"""Every SQL function that Python calls waits for a lock for two seconds at most."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

pytestmark = pytest.mark.django_db

NAME = re.compile(r"\baif_[a-z_]*[a-z]")
FOLDERS = ("aifeature", "evals", "workers", "project")
LONGEST_MS = 2_000


def called() -> Iterator[str]:
    """Return the SQL functions in the strings of the code, except docstrings and migrations."""
    for folder in FOLDERS:
        for file in (Path(settings.BASE_DIR) / folder).rglob("*.py"):
            if "migrations" not in file.parts:
                yield from named(ast.parse(file.read_text(encoding="utf-8")))


def named(tree: ast.AST) -> Iterator[str]:
    prose = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose:
            yield from NAME.findall(node.value)


def limits() -> dict[str, int | None]:
    """The lock time-out in milliseconds of each function that reads or writes a table."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.proname, (SELECT substr(c, 14) FROM unnest(p.proconfig) AS c"
            "                    WHERE c LIKE 'lock_timeout=%'),"
            "       p.provolatile"
            "  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE n.nspname = current_schema() AND p.proname LIKE 'aif\\_%'"
        )
        rows = cursor.fetchall()
    return {name: limit and milliseconds(limit) for name, limit, kind in rows if kind != "i"}


def milliseconds(setting: str) -> int:
    """PostgreSQL's notation of a time."""
    number, unit = re.fullmatch(r"(\d+)(ms|s)", setting).groups()  # type: ignore[union-attr]
    return int(number) * (1 if unit == "ms" else 1_000)


def test_every_function_that_is_called_gives_up_on_a_lock() -> None:
    found, names = limits(), set(called())
    assert {"aif_claim_run", "aif_blank_expired", "aif_still_running"} <= names, "nothing was read"
    assert names & {"aif_move_hold", "aif_lives"} == set(), "helpers wait as their callers do"
    without = {name for name in names if name in found and found[name] is None}
    assert without == set(), "add SET lock_timeout = '...' to their definition"
    too_long = {name for name in names if (found.get(name) or 0) > LONGEST_MS}
    assert too_long == set()


def test_functions_of_the_keeper_wait_a_tenth_of_a_second() -> None:
    found = limits()
    source = Path(settings.BASE_DIR) / "aifeature/models/heartbeats.py"
    asked = set(named(ast.parse(source.read_text(encoding="utf-8"))))
    assert asked
    assert {found[name] for name in asked} == {100}
