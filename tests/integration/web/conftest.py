"""A browser of ada with `summarize` open, and a user with a password."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client


@pytest.fixture
def ada_client(client: Client, ada: User, opened: None) -> Client:
    client.force_login(ada)
    return client


@pytest.fixture
def carol(db: None) -> User:
    return User.objects.create_user("carol", password="correct horse")
