"""A flip works despite faults, or is refused immediately with another way.

The SQLSTATE shows which time limit ended a wait.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import Error, OperationalError, connection
from psycopg import sql

from aifeature.models import Alert, ControlChange, FeatureControl, KillMode
from aifeature.models.functions import urgently
from aifeature.services.controls import row_check, switch, switch_refusal
from aifeature.services.controls.effective import GLOBAL
from tests import proof
from tests.integration.streams.web_server import database_url
from tests.releases import next_release
from tests.servers import TEMPLATE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sam"),
]

SECOND_MEANS = "stop the llm workers, or revoke the provider's key"


@pytest.fixture
def sam(transactional_db: None) -> Iterator[User]:
    """A superuser. The thread has no connection, as at the begin of a request."""
    user = User.objects.create_superuser("sam")
    FeatureControl.objects.create(feature="summarize")
    connection.close()
    yield user
    connection.close()


@contextmanager
def other_session(*statements: LiteralString) -> Iterator[psycopg.Connection[Any]]:
    """Open another session, and run these statements in its transaction."""
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as other:
        other.execute("BEGIN")
        for statement in statements:
            other.execute(statement)
        yield other
        other.execute("ROLLBACK")


@contextmanager
def in_force(do: LiteralString, undo: LiteralString) -> Iterator[None]:
    """Change the database for new sessions until the context ends."""
    parameters = connection.get_connection_params()
    with psycopg.connect(**parameters, autocommit=True) as other:
        other.execute("SET default_transaction_read_only = off")
        other.execute(do)
        try:
            yield
        finally:
            connection.close()
            other.execute(undo)


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("kill_switch", *arguments, "--user", "sam", "--reason", "r", "--yes", stdout=out)
    return out.getvalue()


def refusal(*arguments: str) -> tuple[str, str | None]:
    """Return the message of the command, and the SQLSTATE of its cause."""
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    cause = caught.value.__cause__
    assert cause is not None
    return str(caught.value), getattr(cause.__cause__, "sqlstate", None)


def stopped(slug: str = "summarize") -> bool:
    return switch.is_stopped(slug)


def test_a_switch_is_flipped_on_a_connection_with_time_limits() -> None:
    with urgently(), connection.cursor() as cursor:
        for name, limit in (("lock_timeout", "1s"), ("statement_timeout", "1500ms")):
            cursor.execute(f"SHOW {name}")
            assert cursor.fetchone() == (limit,)
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        assert cursor.fetchone() == ("10s",), "the limit of the settings stays"
        held: Any = connection.connection
        assert held.info.get_parameters()["connect_timeout"] == "2"
    assert connection.connection is None, "the connection is returned"


@pytest.mark.parametrize("action", ["stop", "release"])
def test_a_locked_control_names_its_holder_and_two_ways_out(action: str) -> None:
    if action == "release":
        run("stop", "summarize")
    lock: LiteralString = "SELECT 1 FROM aifeature_featurecontrol FOR UPDATE"
    with other_session(lock) as other:
        message, code = refusal(action, "summarize")
        assert code == switch_refusal.LOCKED
        pid = other.info.backend_pid
        assert f"holds the control of summarize: pid {pid}, idle in transaction" in message
        assert "or stop everything, which uses another row" in message
        assert f"SELECT pg_terminate_backend({pid})" in message
        assert SECOND_MEANS in message
        assert "The kill switch was not changed." in message
        run("stop", GLOBAL)
        assert stopped(GLOBAL), "no session has locked its row"
    run(action, "summarize")
    assert stopped() == (action == "stop")


@pytest.mark.skipif(TEMPLATE not in os.environ, reason="needs the copied databases of a whole run")
def test_a_session_of_a_copy_of_the_database_is_not_named() -> None:
    """A copy on the same server has the same ids of tables."""
    ours = connection.get_connection_params()
    name = sql.Identifier(f"{ours['dbname']}_twin")
    template = sql.Identifier(os.environ[TEMPLATE])
    with psycopg.connect(**ours, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, template))
        with psycopg.connect(**{**ours, "dbname": f"{ours['dbname']}_twin"}) as twin:
            twin.execute("LOCK TABLE aifeature_featurecontrol")
            with other_session("SELECT 1 FROM aifeature_featurecontrol FOR UPDATE") as holder:
                message, _ = refusal("stop", "summarize")
                assert f"pid {holder.info.backend_pid}" in message
        server.execute(sql.SQL("DROP DATABASE {}").format(name))


def test_a_reader_of_the_controls_is_not_named() -> None:
    with (
        other_session("SELECT 1 FROM aifeature_featurecontrol") as reader,
        other_session("SELECT 1 FROM aifeature_featurecontrol FOR UPDATE") as holder,
    ):
        message, _ = refusal("stop", "summarize")
        assert f"pid {holder.info.backend_pid}" in message
        assert f"pid {reader.info.backend_pid}" not in message


def test_a_locked_global_switch_is_not_its_own_way_out() -> None:
    FeatureControl.objects.create(feature=GLOBAL)
    connection.close()
    with other_session("SELECT 1 FROM aifeature_featurecontrol FOR UPDATE"):
        message, code = refusal("stop", GLOBAL)
    assert code == switch_refusal.LOCKED
    assert "Try again. To end that session" in message


@pytest.mark.parametrize("flip", ["stop", "release", "trip"])
@pytest.mark.parametrize("table", ["aifeature_featurecontrol", "auth_user"])
def test_a_flip_has_its_own_lock_timeout(sam: User, flip: str, table: LiteralString) -> None:
    if flip == "release":
        switch.stop("summarize", reason="r", mode=KillMode.HOLD, user_id=sam.pk)
    flips: dict[str, Callable[[], object]] = {
        "stop": lambda: switch.stop("summarize", reason="r", mode=KillMode.HOLD, user_id=sam.pk),
        "release": lambda: switch.release("summarize", reason="r", user_id=sam.pk),
        "trip": lambda: switch.trip("summarize", check="c", reason="r", figures={}),
    }
    connection.ensure_connection()
    with other_session(f"SELECT 1 FROM {table} FOR UPDATE"):  # noqa: S608 (our names)
        if flip == "trip" and table == "auth_user":
            flips[flip]()
            return
        with pytest.raises(OperationalError) as caught:
            flips[flip]()
    cause: Any = caught.value.__cause__
    assert cause.sqlstate == switch_refusal.LOCKED


def test_a_migration_of_the_controls_is_not_waited_for() -> None:
    lock: LiteralString = "LOCK TABLE aifeature_featurecontrol IN ACCESS EXCLUSIVE MODE"
    with other_session(lock) as other:
        message, code = refusal("stop", "summarize")
        assert f"pid {other.info.backend_pid}" in message
    assert code == switch_refusal.LOCKED


@pytest.mark.parametrize(
    "table", ["aifeature_job", "aifeature_attempt", "aifeature_spendwindow", "aifeature_alert"]
)
def test_a_lock_on_another_table_refuses_no_flip(table: LiteralString) -> None:
    with other_session(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"):
        message = run("stop", "summarize")
        if table in {"aifeature_job", "aifeature_spendwindow"}:
            assert "jobs that cannot be counted now" in message
        assert stopped()
        connection.close()
        run("release", "summarize")
        assert not stopped()


def test_a_locked_alert_undoes_no_release_and_ends_with_the_next_check() -> None:
    switch.trip("summarize", check="control.cost_spike", reason="r", figures={})
    with other_session("SELECT 1 FROM aifeature_alert FOR UPDATE"):
        connection.close()
        run("release", "summarize")
        assert not stopped()
        assert Alert.objects.get(kind="kill_switch").closed_at is None
    row_check.check()
    assert Alert.objects.get(kind="kill_switch").closed_at is not None


def test_an_account_that_another_session_holds_is_not_waited_for() -> None:
    with other_session("SELECT 1 FROM auth_user FOR UPDATE"):
        message, code = refusal("stop", "summarize")
    assert code == switch_refusal.LOCKED
    assert "a lock that a flip of summarize needs" in message
    assert not stopped()


@pytest.mark.parametrize("slug", ["summarize", GLOBAL])
def test_an_exhausted_pool_refuses_no_flip(sam: User, slug: str) -> None:
    pool: Any = connection.pool  # type: ignore[attr-defined]
    with ExitStack() as exits:
        for _ in range(pool._max_size):
            exits.callback(pool.putconn, pool.getconn())
        switch.stop(slug, reason="r", mode=KillMode.HOLD, user_id=sam.pk)
        with urgently():
            assert stopped(slug)
        switch.release(slug, reason="r", user_id=sam.pk)
        assert switch.trip(slug, check="c", reason="r", figures={})
    assert stopped(slug)


def test_a_database_that_takes_no_writes_is_named_with_a_second_means() -> None:
    name = connection.settings_dict["NAME"]
    setting = "default_transaction_read_only"
    with in_force(
        f'ALTER DATABASE "{name}" SET {setting} = on', f'ALTER DATABASE "{name}" RESET {setting}'
    ):
        message, code = refusal("stop", "summarize")
        assert code == "25006"
        assert "The database takes no writes: it is a standby" in message
        assert "no job is accepted and no call starts" in message
        assert SECOND_MEANS in message
        assert "running" in run_status()
    run("stop", "summarize")


def run_status() -> str:
    out = io.StringIO()
    call_command("kill_switch", "status", stdout=out)
    return out.getvalue()


@contextmanager
def a_write_that(fails: LiteralString) -> Iterator[None]:
    """Let each insert of an audit row fail."""
    with in_force(
        "CREATE FUNCTION test_fails() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {fails}; RETURN NEW; END $$;"
        " CREATE TRIGGER test_fails BEFORE INSERT ON aifeature_controlchange"
        " FOR EACH ROW EXECUTE FUNCTION test_fails()",
        "DROP FUNCTION test_fails CASCADE",
    ):
        yield


@pytest.mark.parametrize(
    ("fails", "code", "words"),
    [
        ("RAISE EXCEPTION 'x' USING ERRCODE = 'disk_full'", "53100", "The disk of the database"),
        ("PERFORM pg_sleep(60)", "57014", "within its time limit of 1.5 s"),
        ("RAISE insufficient_privilege", "42501", "The role of the database"),
        ("PERFORM 1 FROM not_there_yet", "42P01", "The database is not of this release"),
        (
            "RAISE EXCEPTION 'stops' USING ERRCODE = 'admin_shutdown'",
            "57P01",
            "There is no connection to the database: stops",
        ),
        ("RAISE EXCEPTION 'odd'", "P0001", "with SQLSTATE P0001: odd"),
    ],
)
def test_a_failed_write_names_its_cause(fails: LiteralString, code: str, words: str) -> None:
    with a_write_that(fails):
        message, sqlstate = refusal("stop", "summarize")
    assert sqlstate == code
    assert words in message
    assert SECOND_MEANS in message
    assert not stopped()
    assert not ControlChange.objects.exists()


def test_an_unreachable_database_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pool: Any = connection.pool  # type: ignore[attr-defined]

    def away() -> None:
        raise psycopg.OperationalError("connection refused")

    monkeypatch.setattr(pool, "_connect_urgently", away)
    message, _ = refusal("stop", "summarize")
    assert "There is no connection to the database: connection refused." in message
    assert SECOND_MEANS in message


@pytest.mark.parametrize("limited", ["role", "database"])
def test_a_full_server_is_named(monkeypatch: pytest.MonkeyPatch, limited: str) -> None:
    """PostgreSQL refuses the connection of a role that is no superuser."""
    pool: Any = connection.pool  # type: ignore[attr-defined]
    parameters = connection.get_connection_params()
    database = sql.Identifier(parameters["dbname"])
    limit = sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format
    with psycopg.connect(**parameters, autocommit=True) as other:
        other.execute("CREATE ROLE test_few LOGIN")
        try:
            if limited == "role":
                other.execute("ALTER ROLE test_few CONNECTION LIMIT 0")
            else:
                other.execute(limit(database, sql.Literal(0)))
            monkeypatch.setattr(
                pool,
                "_connect_urgently",
                lambda: psycopg.connect(**{**parameters, "user": "test_few"}),
            )
            message, _ = refusal("stop", "summarize")
        finally:
            other.execute(limit(database, sql.Literal(-1)))
            other.execute("DROP ROLE test_few")
    assert "The database has no connection left" in message
    assert "too many connections for" in message
    assert SECOND_MEANS in message


@pytest.mark.parametrize(
    ("do", "undo"),
    [
        (
            "ALTER TABLE aifeature_featurecontrol ADD newer integer NOT NULL DEFAULT 1",
            "ALTER TABLE aifeature_featurecontrol DROP newer",
        ),
        (
            "ALTER TABLE aifeature_featurecontrol RENAME retention_days TO not_yet",
            "ALTER TABLE aifeature_featurecontrol RENAME not_yet TO retention_days",
        ),
    ],
    ids=["a column more", "a column less"],
)
def test_another_schema_refuses_no_flip(do: LiteralString, undo: LiteralString) -> None:
    with in_force(do, undo):
        run("stop", "summarize")
        assert stopped()
        run("release", "summarize")
        assert not stopped()


def test_a_database_without_the_functions_requires_the_migration() -> None:
    with in_force(
        "ALTER FUNCTION aif_switch_stop RENAME TO not_yet",
        "ALTER FUNCTION not_yet RENAME TO aif_switch_stop",
    ):
        message, code = refusal("stop", "summarize")
    assert code == "42883"
    assert "manage.py migrate" in message


@pytest.mark.parametrize(
    "values",
    [
        {"prompt_version": "v9"},
        {"stage": "canary", "prompt_version": "v9"},
        {"kill_mode": "drain"},
        {"feature": "gone"},
        {"feature": "gone", "prompt_version": "v9"},
    ],
    ids=str,
)
def test_a_control_of_another_release_can_be_flipped(values: dict[str, str]) -> None:
    FeatureControl.objects.all().delete()
    slug = values.get("feature", "summarize")
    proof.activated_elsewhere(slug, "v9")
    FeatureControl.objects.update(**values)
    run("stop", slug)
    assert stopped(slug)
    assert "stopped by sam" in run_status()
    run("release", slug)
    assert not stopped(slug)
    row = FeatureControl.objects.get(feature=slug)
    kept = {name: value for name, value in values.items() if name != "kill_mode"}
    assert {name: getattr(row, name) for name in kept} == kept


def test_the_command_stops_a_feature_whose_code_does_not_load(tmp_path: Path) -> None:
    release = next_release(tmp_path / "release")
    release.write("aifeature/features/summarize/feature.py", "FEATURE = = 1\n")
    env = {**os.environ, "DATABASE_URL": database_url()}

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            argv, cwd=release.folder, env=env, capture_output=True, text=True, check=False
        )

    person = ("--user", "sam", "--reason", "r", "--yes")
    for action, slug in (("stop", "summarize"), ("stop", GLOBAL), ("release", "summarize")):
        done = command("kill_switch", action, slug, *person)
        assert done.returncode == 0, done.stderr
        assert stopped(slug) == (action == "stop")
    checked = command("check")
    assert checked.returncode == 1
    assert "Feature summarize cannot be loaded: SyntaxError" in checked.stderr
    assert "Traceback" not in checked.stderr


def test_each_flip_is_recorded(sam: User) -> None:
    ada = User.objects.create_user("ada")
    switch.stop("summarize", reason="Odd.", mode=KillMode.HOLD, user_id=sam.pk)
    switch.stop("summarize", reason="Odd.", mode=KillMode.HOLD, user_id=ada.pk)
    switch.release("summarize", reason="Mended.", user_id=ada.pk, percent=20)
    switch.release("summarize", reason="Mended.", user_id=sam.pk)
    records = ControlChange.objects.order_by("id").values_list(
        "field", "old", "new", "reason", "user__username"
    )
    assert list(records) == [
        ("killed", "False", "True", "Odd.", "sam"),
        ("kill_reason", "", "Odd.", "Odd.", "sam"),
        ("killed", "True", "False", "Mended.", "ada"),
        ("kill_reason", "Odd.", "", "Mended.", "ada"),
        ("release_percent", "100", "20", "Mended.", "ada"),
        ("release_percent", "20", "100", "Mended.", "sam"),
    ]


@pytest.mark.parametrize(
    "flip",
    [
        lambda user: switch.stop("summarize", reason=" ", mode=KillMode.HOLD, user_id=user),
        lambda user: switch.release("summarize", reason=" ", user_id=user),
    ],
)
def test_a_flip_needs_a_reason_and_a_person(sam: User, flip: Callable[[int], None]) -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        flip(sam.pk)
    for user, reason in ((sam.pk, " "), (sam.pk + 1, "r")):
        with pytest.raises(Error), connection.cursor() as cursor:
            cursor.execute("SELECT aif_switch_stop('summarize', 'hold', %s, %s)", (reason, user))
    assert not stopped()


def test_a_lone_surrogate_in_a_reason_is_replaced(sam: User) -> None:
    switch.stop("summarize", reason="Stra\udcdfe", mode=KillMode.HOLD, user_id=sam.pk)
    assert FeatureControl.objects.get().kill_reason == "Stra\N{REPLACEMENT CHARACTER}e"
