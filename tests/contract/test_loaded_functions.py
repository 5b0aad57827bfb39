"""A file of SQL functions that was edited reaches databases that exist: a new migration loads it.

A new database has it in any case, for each migration loads the text of today.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import RunSQL

from aifeature import sql

LIST = Path(__file__).with_name("loaded_files.txt")
"""Of each file its name, the migration that loaded it last, and a digest of what that loaded."""

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
    for file in sorted(Path(sql.__file__).parent.glob("*.sql")):
        (load,) = sql.load(file.stem)
        last = [name for name, text in loads if text == load.sql][-1:]
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        files[file.stem] = (last[0] if last else "no migration", digest)
    return files


def known() -> Loaded:
    lines = [line.split() for line in LIST.read_text(encoding="utf-8").splitlines()]
    return {file: (migration, digest) for file, migration, digest in lines}


def problems(known: Loaded, found: Loaded) -> Iterator[str]:
    """What is to be done before the list is right again."""
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
