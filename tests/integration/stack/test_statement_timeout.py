"""Statements of a web process have a time limit, so a search cannot hold a thread for minutes."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from django.contrib.auth.models import User

from aifeature.models import ApiToken
from tests.integration.execution.keeper.conftest import locked
from tests.integration.streams.test_reload import GUNICORN
from tests.integration.streams.web_server import running

pytestmark = pytest.mark.usefixtures("committed")


def test_a_statement_that_takes_too_long_is_ended_and_reported(ada: User, tmp_path: Path) -> None:
    _, token = ApiToken.issue(user_id=ada.pk, name="test")
    log = tmp_path / "web.log"
    with running(GUNICORN, log, WEB_CONCURRENCY="1", WEB_STATEMENT_TIMEOUT_SECONDS="0.3") as server:
        headers = {"authorization": f"Bearer {token}"}
        with httpx2.Client(base_url=server.url, headers=headers, trust_env=False) as client:
            assert client.get("/api/v1/jobs").status_code == 200
            with locked("LOCK aifeature_job IN ACCESS EXCLUSIVE MODE"):
                answer = client.get("/api/v1/jobs", timeout=30)
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
            assert client.get("/api/v1/jobs").status_code == 200
