"""A worker that cannot start ends: Celery alone would log the error, and take jobs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from celery.signals import worker_init, worker_ready

from aifeature.services import provider
from aifeature.services.provider import factory
from workers import tasks

pytestmark = pytest.mark.usefixtures("committed")


def worker() -> Mock:
    found = Mock(concurrency=1, hostname="llm@here")
    found.app.amqp.queues.consume_from = {"llm"}
    return found


@pytest.fixture
def _without_gateway() -> Iterator[None]:
    factory.gateway.cache_clear()
    yield
    factory.gateway.cache_clear()


@pytest.mark.usefixtures("_without_gateway")
def test_a_worker_without_a_key_ends_with_one_line(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.AIFEATURE = {**settings.AIFEATURE, "API_KEY": ""}
    with pytest.raises(SystemExit) as ended:
        worker_init.send(sender=worker())
    assert ended.value.code == os.EX_CONFIG
    (line,) = [each for each in caplog.records if each.levelname == "CRITICAL"]
    assert "ANTHROPIC_API_KEY is not set" in line.message
    assert line.exc_info is None


def test_an_unexpected_error_ends_the_worker_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing() -> None:
        raise RuntimeError("no gateway")

    monkeypatch.setattr(provider, "gateway", failing)
    with pytest.raises(SystemExit) as ended:
        worker_init.send(sender=worker())
    assert ended.value.code == os.EX_SOFTWARE
    assert "no gateway" in caplog.text


def test_a_worker_that_cannot_appear_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(**_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(tasks._runner, "start", failing)
    with pytest.raises(SystemExit):
        worker_ready.send(sender=Mock(controller=worker()))
