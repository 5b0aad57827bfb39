"""What tests on the real stores share: users, open features, a wired sandbox provider."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections

from aifeature.models import Stage
from aifeature.services import control, wiring
from tests.sandbox_server import SandboxServer, running_sandbox


@pytest.fixture(autouse=True)
def _fresh_control_cache() -> Iterator[None]:
    control.cache.clear()
    yield
    control.cache.clear()


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob")


@pytest.fixture
def opened(db: None) -> None:
    """`summarize` is open to everyone."""
    control.change("summarize", {"stage": Stage.EVERYONE}, reason="test", check_name="test")


@pytest.fixture(scope="session")
def _sandbox_server() -> Iterator[SandboxServer]:
    with running_sandbox() as server:
        yield server


@pytest.fixture
def sandbox(_sandbox_server: SandboxServer, settings: Any) -> Iterator[SandboxServer]:
    """The process's gateway talks to a sandbox provider without faults."""
    _sandbox_server.reset()
    settings.AIFEATURE = {**settings.AIFEATURE, "API_KEY": "k", "BASE_URL": _sandbox_server.url}
    wiring.gateway.cache_clear()
    yield _sandbox_server
    wiring.gateway().close()
    wiring.gateway.cache_clear()


@pytest.fixture
def committed(transactional_db: None) -> Iterator[None]:
    """Real commits and real connections; the pool's connections are closed at the end."""
    yield
    connections.close_all()
