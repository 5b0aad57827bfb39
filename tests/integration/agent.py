"""The worker agent of a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aifeature.services.dispatch.worker_agent import WorkerAgent


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerAgent]:
    """A worker agent without a thread: it makes a turn only when a test calls it."""
    agent = WorkerAgent()
    monkeypatch.setattr(agent._loop, "wake", lambda: None)
    yield agent
    agent.stop()
