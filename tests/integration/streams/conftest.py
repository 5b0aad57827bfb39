from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import connection

from aifeature.services.streams import writer
from tests.integration.streams.readers import token_of


@pytest.fixture(autouse=True)
def _asgi(committed: None, settings: Any) -> None:
    settings.MIDDLEWARE = [
        name.replace("whitenoise.middleware.WhiteNoise", "project.static_files.StaticFiles")
        for name in settings.MIDDLEWARE
    ]


@pytest.fixture
def raw_redis() -> Iterator[redis.Redis]:
    """The Redis of the run, empty."""
    client = redis.Redis.from_url(django_settings.REDIS_URL, protocol=2)
    client.flushdb()
    yield client
    client.flushdb()
    client.close()


@pytest.fixture(autouse=True)
def _fresh_writer(raw_redis: redis.Redis) -> Iterator[None]:
    writer.process.cache_clear()
    yield
    writer.process.cache_clear()


@pytest.fixture
def token(ada: User) -> str:
    text = token_of(ada)
    connection.close()
    return text
