"""/healthz and /readyz."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client

SECRET_HOST = "127.0.0.1:1"  # nothing listens there


@pytest.fixture
def without_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def parameters() -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": "1", "dbname": "x", "user": "x"}

    monkeypatch.setattr(connection, "get_connection_params", parameters)


@pytest.fixture
def without_redis(settings: Any) -> None:
    settings.REDIS_URL = f"redis://:password@{SECRET_HOST}/0"


def test_healthz_asks_nobody(client: Client, without_database: None, without_redis: None) -> None:
    """Without the `db` mark, touching the database would raise."""
    response = client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok")
    assert "no-store" in response["Cache-Control"]


def test_ready(client: Client, db: None) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"status": "ready", "checks": {"database": "ok", "redis": "ok"}}
    assert "no-store" in response["Cache-Control"]


def test_without_redis_it_is_degraded_and_still_takes_traffic(
    client: Client, db: None, without_redis: None
) -> None:
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


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_takes_no_post(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405
