"""Prices follow the clock of the database, on hosts with wrong clocks as well."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection

from aifeature.services.provider import factory
from aifeature.services.stores import database_clock
from aifeature.services.stores.database_clock import READ_S, DatabaseClock
from tests.integration.job_rows import database_time
from tests.sandbox_server import SandboxServer

pytestmark = pytest.mark.django_db


def test_the_clock_is_read_once_a_minute() -> None:
    seconds = 0.0
    clock = DatabaseClock(lambda: seconds)
    before = database_time()
    first = clock.now()
    assert before <= first <= database_time()
    with connection.execute_wrapper(_refuse):
        seconds = READ_S - 0.001
        assert (clock.now() - first).total_seconds() == pytest.approx(READ_S - 0.001)
    seconds = READ_S
    assert clock.now() <= database_time(), "it was read again"


def test_the_clock_goes_on_during_an_outage() -> None:
    seconds = 0.0
    clock = DatabaseClock(lambda: seconds)
    first = clock.now()
    seconds = 2 * READ_S
    with connection.execute_wrapper(_refuse):
        assert (clock.now() - first).total_seconds() == pytest.approx(2 * READ_S)


def test_the_gateway_uses_the_database_clock(sandbox: SandboxServer) -> None:
    assert factory.gateway()._clock == database_clock.clock.now


def _refuse(*_: object) -> None:
    raise OperationalError("away")
