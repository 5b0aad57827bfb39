"""A file of SQL functions that was edited reaches databases that exist: a new migration loads it.

A new database has it in any case, for each migration loads the text of today.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from operator import attrgetter
from pathlib import Path

import pytest
from django.contrib.auth.models import AbstractBaseUser
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import RunSQL
from django.db.models import UUIDField

from aifeature import sql

LIST = Path(__file__).with_name("loaded_files.txt")
"""Of each file its name, the migration that loaded it last, and a digest of its code."""

COMMENT = re.compile(r"^\s*--.*\n|\s*--.*$", re.MULTILINE)
"""A changed comment needs no migration."""

FILES = sorted(Path(sql.__file__).parent.glob("*.sql"))

Loaded = Mapping[str, tuple[str, str]]


def found() -> Loaded:
    """By file, the last migration that loads it, and the digest of its text now."""
    loader = MigrationLoader(connection)
    plan = loader.graph.forwards_plan(loader.graph.leaf_nodes("aifeature")[0])
    loads = [
        (name, operation.sql)
        for app, name in plan
        if app == "aifeature"
        for operation in loader.graph.nodes[app, name].operations
        if isinstance(operation, RunSQL)
    ]
    files = {}
    for file in FILES:
        (load,) = sql.load(file.stem)
        last = [name for name, text in loads if text == load.sql][-1:]
        code = COMMENT.sub("", file.read_text(encoding="utf-8"))
        digest = hashlib.sha256(code.encode()).hexdigest()[:16]
        files[file.stem] = (last[0] if last else "no migration", digest)
    return files


def known() -> Loaded:
    lines = [line.split() for line in LIST.read_text(encoding="utf-8").splitlines()]
    return {file: (migration, digest) for file, migration, digest in lines}


def problems(known: Loaded, found: Loaded) -> Iterator[str]:
    """The steps that make the list right again."""
    for file, (migration, digest) in found.items():
        if known.get(file) == (migration, digest):
            continue
        line = f"{file} {migration} {digest}"
        if file not in known or known[file][0] != migration:
            yield f"{file}.sql is loaded by {migration} now: the list's line is '{line}'"
        else:
            yield (
                f"{file}.sql has changed since {migration} loaded it: load it in a new migration,"
                " for databases that have passed that one"
            )
    for file in known.keys() - found.keys():
        yield f"{file}.sql is gone: take its line from the list"


@pytest.mark.django_db
def test_every_file_is_what_its_last_migration_loaded() -> None:
    assert list(problems(known(), found())) == []


def test_a_file_that_was_edited_in_place_is_noticed() -> None:
    known = {"claim": ("0002_first", "aa"), "gone": ("0002_first", "bb")}
    edited, gone = problems(known, {"claim": ("0002_first", "cc")})
    assert edited.startswith("claim.sql has changed since 0002_first loaded it")
    assert gone.startswith("gone.sql is gone")
    (loaded,) = problems({"claim": known["claim"]}, {"claim": ("0003_next", "cc")})
    assert loaded.endswith("the list's line is 'claim 0003_next cc'")
    (new,) = problems({}, {"claim": ("0002_first", "aa")})
    assert new.endswith("the list's line is 'claim 0002_first aa'")


CHOSEN_PER_ROW = re.compile(r"\bIN\s*\(\s*SELECT\b[^;]*?\bFOR (?:NO KEY )?UPDATE\b")
"""PostgreSQL may run a subquery after `IN` once for each row of the update."""


def chosen_per_row(text: str) -> list[str]:
    """The subqueries after `IN` that lock rows."""
    return [
        found[0]
        for found in CHOSEN_PER_ROW.finditer(text)
        if found[0].count("(") > found[0].count(")")
    ]


def test_no_statement_may_choose_rows_once_for_each_row_it_changes() -> None:
    """Its limit would not hold: write `= ANY (ARRAY(SELECT ...))`."""
    wrong = "UPDATE t SET a = 1 WHERE id IN ({});"
    locking = "SELECT j.id FROM j LIMIT 3 FOR UPDATE SKIP LOCKED"
    assert len(chosen_per_row(wrong.format(locking))) == 1
    assert chosen_per_row(wrong.format("SELECT 1") + f"SELECT ARRAY({locking})") == []
    found = {file.name: chosen_per_row(file.read_text(encoding="utf-8")) for file in FILES}
    assert {name: parts for name, parts in found.items() if parts} == {}


class CustomUser(AbstractBaseUser):
    """A host's own user model, with a key that is no number."""

    id = UUIDField(primary_key=True)

    class Meta:
        """Of the model."""

        app_label = "host"
        db_table = "host_people"


@pytest.mark.parametrize("file", FILES, ids=attrgetter("stem"))
def test_a_file_takes_table_and_key_from_the_user_model(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "get_user_model", lambda: CustomUser)
    sql._user_model.cache_clear()
    try:
        (load,) = sql.load(file.stem)
    finally:
        sql._user_model.cache_clear()
    assert re.findall(r"auth_user|@\w+@|user\w* bigint|user_id::bigint", str(load.sql)) == []
    text = file.read_text(encoding="utf-8")
    assert str(load.sql).count('"host_people"') == text.count("@user_table@")
    assert str(load.sql).count(" uuid") >= text.count("@user_key@")
