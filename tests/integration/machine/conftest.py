from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tests.integration.machine.database import told_database
from tests.integration.machine.lanes import Lanes


@pytest.fixture(scope="package")
def told(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The copy of the test database in which the time is told: its connection string."""
    with django_db_blocker.unblock(), told_database() as url:
        yield url


@pytest.fixture(scope="package")
def lanes(told: str) -> Iterator[Lanes]:
    """The connections of the machine."""
    lanes = Lanes(told)
    yield lanes
    lanes.close()
