"""An error of a server that answers and cannot write now is raised as an outage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import InternalError, OperationalError, connection, transaction

from aifeature.models.dedicated_connection import DedicatedConnection
from aifeature.models.functions import is_refused, is_turned_away, rows
from project.database import errors

pytestmark = pytest.mark.django_db

RAISE = "DO $$ BEGIN RAISE 'refused' USING ERRCODE = '{}'; END $$"


def raised(code: str) -> Exception:
    with pytest.raises(Exception) as found, transaction.atomic(), connection.cursor() as cursor:  # noqa: PT011 (all types)
        cursor.execute(RAISE.format(code))
    return found.value


@pytest.mark.parametrize(
    "code", ["25006", "25P03", "25P04", "42501", "53100", "53200", "53300", "57014"]
)
def test_temporary_refusal_is_an_operational_error(code: str) -> None:
    error = raised(code)
    assert isinstance(error, OperationalError)
    assert getattr(error.__cause__, "sqlstate", None) == code
    assert not is_refused(error)
    assert is_turned_away(error) == (not code.startswith("25P"))


@pytest.mark.parametrize("code", ["25001", "25P02", "XX000", "2D000"])
def test_defect_is_no_operational_error(code: str) -> None:
    error = raised(code)
    assert isinstance(error, InternalError)
    assert not is_turned_away(error)


def by_orm() -> None:
    User.objects.update(first_name="x")


def by_function() -> None:
    rows("aif_probe")


@pytest.mark.parametrize("write", [by_orm, by_function])
def test_write_to_a_read_only_server_is_turned_away(write: Callable[[], None]) -> None:
    pool: Any = connection.pool  # type: ignore[attr-defined]
    pool._marked_at, before = float("-inf"), pool._generation
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL transaction_read_only = on")
        with pytest.raises(OperationalError) as found:
            write()
        transaction.set_rollback(True)
    assert is_turned_away(found.value)
    assert pool._generation == before + 1, "the pool replaces its connections"


def test_dedicated_connection_leaves_a_read_only_server() -> None:
    dedicated = DedicatedConnection(lock_timeout="1s", statement_timeout="10s")
    dedicated.rows("set_config", "default_transaction_read_only", "on", False)
    with pytest.raises(OperationalError):
        dedicated.rows("aif_probe")
    assert not dedicated.is_open
    dedicated.rows("aif_probe")
    dedicated.close()


def test_full_disk_is_remembered() -> None:
    errors.no_room.clear()
    assert isinstance(raised("53100").__cause__, psycopg.errors.DiskFull)
    assert errors.no_room.is_set()
    errors.no_room.clear()
