from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tests.integration.machine.database import fake_clock_database
from tests.integration.machine.lanes import Lanes


@pytest.fixture(scope="package")
def database_url(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The connection string of a copy of the test database with a fake clock."""
    with django_db_blocker.unblock(), fake_clock_database() as url:
        yield url


@pytest.fixture(scope="package")
def lanes(database_url: str) -> Iterator[Lanes]:
    """The connections of the machine."""
    lanes = Lanes(database_url)
    yield lanes
    lanes.close()
