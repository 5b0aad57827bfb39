"""Databases and poolers with other settings: each works, or one line names what to change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection, connections
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg import sql

from project import boot, system_checks
from project.database import session
from project.database.base import DatabaseWrapper
from project.database.session import UnfitDatabaseError
from project.stack.errors import ConfigError
from project.stack.external import external_services
from project.stack.ports import HOST
from tests.integration.fuzz.values import thorough
from tests.pooler import pooler

pytestmark = pytest.mark.usefixtures("committed")

SETTINGS: dict[str, list[str]] = {
    "DateStyle": ["German", "SQL, DMY", "Postgres, MDY", "ISO, YMD"],
    "IntervalStyle": ["sql_standard", "postgres_verbose", "iso_8601"],
    "TimeZone": ["America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati"],
    "standard_conforming_strings": ["off"],
    "bytea_output": ["escape"],
    "array_nulls": ["off"],
    "transform_null_equals": ["on"],
    "default_transaction_isolation": ["serializable", "repeatable read"],
    "default_transaction_deferrable": ["on"],
}
"""Values that a server, a database or a role may have instead of PostgreSQL's defaults."""

MOMENT = datetime(2026, 3, 4, 23, 30, tzinfo=UTC)
SELECT_ALL = r"""
SELECT %s::timestamptz, %s::interval, '\d', '\xff'::bytea,
       '{NULL}'::text[], NULL = NULL, current_setting('transaction_isolation')
"""
EXPECTED = (MOMENT, timedelta(days=1, hours=2), r"\d", b"\xff", [None], None, "read committed")


def wrapper(**changes: Any) -> DatabaseWrapper:
    """Return a new wrapper for the test's database, which shares no settings with others."""
    found: Any = connections["default"].copy()
    found.settings_dict["OPTIONS"] = {**found.settings_dict["OPTIONS"]}
    found.settings_dict.update(changes)
    return found  # type: ignore[no-any-return]


def selected(found: Any) -> Any:
    return found.execute(SELECT_ALL, [MOMENT, timedelta(days=1, hours=2)]).fetchone()


@contextmanager
def set_in_database(values: dict[str, str]) -> Iterator[None]:
    """Set the values with which sessions of the test's database begin."""
    name = sql.Identifier(connection.settings_dict["NAME"])
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as other:
        for setting, value in values.items():
            parts = (
                name,
                sql.Identifier(setting),
                sql.SQL(value if "," in value else f"'{value}'"),
            )
            other.execute(sql.SQL("ALTER DATABASE {} SET {} TO {}").format(*parts))
        try:
            yield
        finally:
            other.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(name))


@thorough(25)
@given(
    values=st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in SETTINGS.items()})
)
@example(values={name: found[0] for name, found in SETTINGS.items()})
def test_settings_of_the_database_change_no_session(values: dict[str, str]) -> None:
    with set_in_database(values), wrapper().connect_apart() as found:
        assert selected(found) == EXPECTED


@pytest.mark.parametrize("setting", ["DateStyle", "IntervalStyle", "TimeZone"])
def test_pooler_that_drops_settings_changes_no_session(setting: str) -> None:
    parameters = {**connection.get_connection_params(), "options": ""}
    with (
        set_in_database({setting: SETTINGS[setting][0]}),
        psycopg.connect(**parameters, autocommit=True) as found,
    ):
        session.configure(found)
        assert selected(found)[:2] == EXPECTED[:2]


@contextmanager
def database_of(encoding: str) -> Iterator[str]:
    """Create a database with another encoding. Yields its name."""
    name = f"{connection.settings_dict['NAME']}_{encoding.lower()}"
    parameters = {**connection.get_connection_params(), "dbname": "postgres"}
    with psycopg.connect(**parameters, autocommit=True) as other:
        other.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        other.execute(
            sql.SQL(
                "CREATE DATABASE {} ENCODING {} TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'"
            ).format(sql.Identifier(name), sql.Literal(encoding))
        )
        try:
            yield name
        finally:
            other.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "WIN1252", "EUC_JP"])
def test_wrong_encoding_is_named_in_one_line(
    encoding: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with database_of(encoding) as name:
        monkeypatch.setitem(connections["default"].settings_dict, "NAME", name)
        assert not boot.is_fit(boot.web())
        (found,) = system_checks.check_database(databases=["default"])
        head, mark, query = os.environ["DATABASE_URL"].partition("?")
        with pytest.raises(ConfigError, match=f"DATABASE_URL: .*{encoding}"):  # `make demo`
            external_services({"DATABASE_URL": f"{head.rpartition('/')[0]}/{name}{mark}{query}"})
    (record,) = [each for each in caplog.records if each.levelname == "CRITICAL"]
    assert encoding in record.message
    assert "UTF8" in record.message
    assert "\n" not in record.message
    assert found.id == "project.E005"


@pytest.mark.parametrize("version", [90_624, 130_022, 140_020])
def test_old_server_is_named(version: int) -> None:
    info = SimpleNamespace(server_version=version, parameter_status=lambda _: "UTF8")
    old: Any = SimpleNamespace(info=info)
    with pytest.raises(UnfitDatabaseError, match=f"PostgreSQL {version // 10_000}: upgrade"):
        session.configure(old)


def test_process_starts_without_its_database(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "HOST", "/nowhere")
    assert boot.is_fit(boot.database())
    (record,) = caplog.records
    assert "keeps trying" in record.message
    assert "\n" not in record.message


@pytest.mark.parametrize(
    ("engine", "options", "problem"),
    [
        ("django.db.backends.postgresql", {}, "set ENGINE to 'project.database'"),
        ("django.db.backends.sqlite3", {}, "set ENGINE to 'project.database'"),
        ("project.database", {"pool": None}, "set OPTIONS['pool']"),
    ],
)
def test_engine_without_a_pool_is_named_in_one_line(
    engine: str, options: dict[str, Any], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {**connection.settings_dict, "ENGINE": engine}
    given["OPTIONS"] = {**given["OPTIONS"], **options}
    monkeypatch.setattr(boot, "connections", {"default": type("Odd", (), {})()})
    if engine == "project.database":
        monkeypatch.setattr(boot, "connections", connections)
    monkeypatch.setattr(settings, "DATABASES", {"default": given})
    (found,) = boot.database()
    assert found.is_fatal
    assert engine in found.text
    assert problem in found.text
    assert [each.id for each in system_checks.check_engine()] == ["project.E004"]


def test_engine_of_the_settings_is_accepted() -> None:
    assert boot.database() == []
    assert system_checks.check_engine() == system_checks.check_database(databases=["default"]) == []


@contextmanager
def behind(**options: bool) -> Iterator[DatabaseWrapper]:
    """Connect through a pooler that has these options."""
    host, port = connection.settings_dict["HOST"], connection.settings_dict["PORT"] or "5432"
    server = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, int(port))
    with pooler(server, **options) as front:
        found = wrapper(HOST=HOST, PORT=str(front))
        found.settings_dict["OPTIONS"] |= {"sslmode": "disable", "gssencmode": "disable"}
        yield found


@pytest.mark.parametrize(("renames", "threshold"), [(True, 1), (False, None)])
def test_statements_are_prepared_if_the_pooler_tracks_them(
    threshold: int | None, caplog: pytest.LogCaptureFixture, *, renames: bool
) -> None:
    session.report_pooler.cache_clear()
    with behind(renames=renames) as pooled:
        for _ in range(2):
            with pooled.connect_apart() as found:
                assert found.prepare_threshold == threshold
                assert selected(found) == EXPECTED
        assert pooled.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] is True
    logged = [each for each in caplog.records if "PgBouncer to 1.22" in each.message]
    assert len(logged) == (threshold is None)


def test_without_a_pooler_statements_are_prepared() -> None:
    direct = wrapper()
    with direct.connect_apart() as found:
        assert found.prepare_threshold == 1
    assert not direct.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")


def test_pooler_that_refuses_session_settings_is_named() -> None:
    with (
        behind(renames=True, ignores_options=False) as pooled,
        pytest.raises(UnfitDatabaseError, match="ignore_startup_parameters = options"),
    ):
        pooled.connect_apart()


def test_pooler_that_drops_the_transaction_timeout_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with behind(renames=True) as pooled:
        monkeypatch.setattr(boot, "connections", {"default": pooled})
        (found,) = boot.server()
    assert not found.is_fatal
    assert "ALTER ROLE" in found.text


@pytest.mark.parametrize(
    ("name", "value"),
    [("default_transaction_isolation", "serializable"), ("transform_null_equals", "on")],
)
def test_wrong_setting_behind_a_pooler_is_named_at_boot(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with set_in_database({name: value}), behind(renames=True) as pooled:
        monkeypatch.setattr(boot, "connections", {"default": pooled})
        (text,) = [each.text for each in boot.server() if each.is_fatal]
    assert f"SET {name} = " in text
