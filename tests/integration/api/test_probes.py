"""/healthz and /readyz."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import Client

from aifeature.services.stores import redis_state
from project import probes
from project.database import errors, health
from project.probes import Readiness

SECRET_HOST = "127.0.0.1:1"  # nothing listens there

Connect = Callable[..., None]


@pytest.fixture(autouse=True)
def _looks_again() -> Iterator[None]:
    probes.readiness.forget()
    errors.no_room.clear()
    yield
    probes.readiness.forget()
    errors.no_room.clear()


@pytest.fixture(autouse=True)
def _leaves_no_row() -> Iterator[None]:
    """A probe commits."""
    known = connection.get_connection_params()
    yield
    if connection.connection is not None:
        with psycopg.connect(**known, autocommit=True) as other:
            other.execute("DELETE FROM aifeature_probe")


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Have probes connect otherwise."""

    def change(**values: Any) -> None:
        known = connection.get_connection_params()
        monkeypatch.setattr(connection, "get_connection_params", lambda: {**known, **values})

    return change


@pytest.fixture
def without_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def parameters() -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": "1", "dbname": "x", "user": "x"}

    monkeypatch.setattr(connection, "get_connection_params", parameters)


@pytest.fixture
def without_redis(settings: Any) -> None:
    settings.REDIS_URL = f"redis://:password@{SECRET_HOST}/0"


def test_healthz_needs_nothing(client: Client, without_database: None, without_redis: None) -> None:
    """Without the `db` mark, touching the database would raise."""
    response = client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok")
    assert "no-store" in response["Cache-Control"]


def test_ready(client: Client, db: None) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"status": "ready", "checks": {"database": "ok", "redis": "ok"}}
    assert "no-store" in response["Cache-Control"]


def test_without_redis_it_is_degraded(client: Client, db: None, without_redis: None) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"status": "degraded", "checks": {"database": "ok", "redis": "down"}}


def test_without_the_database_it_takes_none(
    client: Client, without_database: None, without_redis: None, caplog: pytest.LogCaptureFixture
) -> None:
    response = client.get("/readyz")
    assert response.status_code == 503
    body = response.json()
    assert body == {"status": "unavailable", "checks": {"database": "down", "redis": "down"}}
    assert SECRET_HOST not in caplog.text
    assert "password" not in caplog.text


def test_a_database_that_only_reads_takes_no_traffic(
    client: Client, db: None, connects: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    connects(options="-c default_transaction_read_only=on")
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"]["database"] == "read_only"
    assert "Was it demoted" in caplog.text


def test_a_crowded_database_takes_no_traffic(client: Client, db: None, connects: Connect) -> None:
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as other:
        other.execute("CREATE ROLE crowded LOGIN CONNECTION LIMIT 0")
        try:
            connects(user="crowded")
            response = client.get("/readyz")
        finally:
            other.execute("DROP ROLE crowded")
    assert response.status_code == 503
    assert response.json()["checks"]["database"] == "no_connections"


def test_an_unmigrated_database_takes_none(client: Client, db: None, connects: Connect) -> None:
    connects(dbname="postgres")
    assert client.get("/readyz").json()["checks"]["database"] == "not_migrated"


def test_probes_use_the_connection_settings(client: Client, db: None, connects: Connect) -> None:
    connects(options="-c search_path=nowhere")
    assert client.get("/readyz").json()["checks"]["database"] == "not_migrated"


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (psycopg.errors.DiskFull(), "disk_full"),
        (psycopg.errors.QueryCanceled(), "cancelled"),
        (psycopg.errors.CannotConnectNow(), "starting"),
        (psycopg.errors.CheckViolation(), "refuses"),
        (psycopg.OperationalError("FATAL:  the database system is starting up"), "starting"),
        (psycopg.OperationalError("FATAL:  sorry, too many clients already"), "no_connections"),
        (psycopg.OperationalError("timeout expired"), "down"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_refusal_has_a_word(error: psycopg.Error, word: str) -> None:
    assert health._word(error) == word


def test_after_a_full_disk_a_write_must_succeed(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors.no_room.set()
    with monkeypatch.context() as faulty:
        faulty.setattr(secrets, "token_hex", lambda _: "\0")  # what PostgreSQL takes in no text
        assert health.check().word != health.OK
    assert errors.no_room.is_set()
    assert client.get("/readyz").json()["checks"]["database"] == "ok"
    assert not errors.no_room.is_set()
    with psycopg.connect(**connection.get_connection_params()) as other:
        (left,) = other.execute("SELECT count(*) FROM aifeature_probe").fetchone() or (None,)
    assert left == 1, "what was tried is undone"


def found(word: str = "ok") -> probes._Found:
    return probes._Found(health.State(word), redis_state.State("ok"))


def test_however_many_probes_come_there_is_one_look_a_second() -> None:
    now, looks = [0.0], []

    def one_look() -> probes._Found:
        looks.append(now[0])
        return found()

    readiness = Readiness(one_look, clock=lambda: now[0])
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: readiness.found(), range(100)))
    assert len(looks) == 1
    now[0] = probes.EVERY_S
    readiness.found()
    assert len(looks) == 2


def test_all_processes_together_write_once_a_second(db: None) -> None:
    def written() -> Any:
        return one.execute("SELECT aif_probe()").fetchone()

    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as one:
        first = written()
        assert written() == first
        one.execute("UPDATE aifeature_probe SET written_at = written_at - interval '1 second'")
        assert written() > first


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_takes_no_post(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405
