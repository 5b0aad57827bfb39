"""The release after this one, with one more expand migration, and a database for both."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import psycopg
from django.db import connection
from psycopg import sql

from project.stack.children import PYTHON
from tests.chaos.real_processes import BOUND_S, Processes
from tests.integration.streams.web_server import database_url
from tests.releases import Release, next_release

MIGRATION = """
from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    dependencies = [("aifeature", "{before}")]
    operations = [
        migrations.AddField(
            model_name="job",
            name="priority",
            field=models.SmallIntegerField(default=0, db_default=0),
        ),
        *sql.load("claim_by_priority", "submit_with_priority", "dispatch"),
    ]
"""

PRIORITY = "    priority = models.SmallIntegerField(default=0, db_default=0)\n"
NEW = "new release on "
"""Before a worker's name, where the new function has made the claim."""


def with_priorities(folder: Path) -> Release:
    """Jobs get a priority: a column, functions beside those of before, another's body changed."""
    release = next_release(folder)
    migrations = sorted(path.stem for path in (folder / "aifeature/migrations").glob("0*.py"))
    release.write("aifeature/migrations/9000_priority.py", MIGRATION.format(before=migrations[-1]))
    release.edit(
        "aifeature/models/job.py", "    worker = models.", f"{PRIORITY}    worker = models."
    )

    _variant(
        release,
        ("claim", "claim_by_priority"),
        ("FUNCTION aif_claim_run(", "FUNCTION aif_claim_by_priority("),
        ("options jsonb\n)", "priority smallint, options jsonb\n)"),
        ("j.options;", "j.priority, j.options;"),
        ("worker = p_worker", f"worker = '{NEW}' || p_worker"),
    )
    transitions = "aifeature/models/transitions.py"
    release.edit(transitions, '"aif_claim_run"', '"aif_claim_by_priority"')
    release.edit(transitions, "    options: Mapping", "    priority: int = 0\n    options: Mapping")
    _variant(
        release,
        ("submit", "submit_with_priority"),
        ("FUNCTION aif_submit_checked(", "FUNCTION aif_submit_with_priority("),
        ("published_at)\n        VALUES (", "published_at, priority)\n        VALUES ("),
        ("p_at_once) END)\n", "p_at_once) END, 1)\n"),
    )
    store = "aifeature/models/submission.py"
    release.edit(store, '"aif_submit_checked"', '"aif_submit_with_priority"')

    dispatch = "aifeature/sql/dispatch.sql"
    release.edit(
        dispatch, "ORDER BY j.run_at LIMIT 1", "ORDER BY j.priority DESC, j.run_at LIMIT 1"
    )
    return release


def _variant(release: Release, names: tuple[str, str], *edits: tuple[str, str]) -> None:
    """A file of SQL functions under another name, with passages exchanged."""
    text = (release.folder / f"aifeature/sql/{names[0]}.sql").read_text()
    for old, new in edits:
        assert text.count(old) == 1, f"{names[0]}.sql has changed, name another passage: {old!r}"
        text = text.replace(old, new)
    release.write(f"aifeature/sql/{names[1]}.sql", text)


def manage(processes: Processes, folder: Path, *arguments: str) -> str:
    """Run a management command of the release in this folder; it must succeed."""
    done = subprocess.run(
        [PYTHON, "manage.py", *arguments],
        cwd=folder,
        env=processes.env,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def copied_database() -> Iterator[None]:
    """Django works on a copy of the test's database, to be changed at will."""
    wrapper = cast("Any", connection)
    template = wrapper.settings_dict["NAME"]
    name = f"{template}_copy"
    maintenance = re.sub(r"/[^/?]*(\?|$)", r"/postgres\1", database_url(), count=1)
    _let_go(wrapper)
    with psycopg.connect(maintenance, autocommit=True) as server:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        server.execute(drop)
        _copy(server, template, name)
        wrapper.settings_dict["NAME"] = name
        try:
            yield
        finally:
            _let_go(wrapper)
            wrapper.settings_dict["NAME"] = template
            server.execute(drop)


def _copy(server: psycopg.Connection[Any], template: str, name: str) -> None:
    """PostgreSQL waits five seconds for others to leave: a process that was killed, a vacuum."""
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
        sql.Identifier(name), sql.Identifier(template)
    )
    for _ in range(10):
        with suppress(psycopg.errors.ObjectInUse):
            server.execute(copy)
            return
    server.execute(copy)


def _let_go(wrapper: Any) -> None:
    wrapper.close()
    wrapper.close_pool()
