"""Each exception of the database is a problem document of the API."""

from __future__ import annotations

import pytest
from django.db import InternalError, OperationalError
from django.test import RequestFactory
from psycopg.errors import IdleInTransactionSessionTimeout, InFailedSqlTransaction

from aifeature.api import problems
from aifeature.api.refusals import DatabaseUnavailable
from project.log_flood import PER_MINUTE, RefusalFilter


@pytest.mark.parametrize(
    ("cause", "away"),
    [(IdleInTransactionSessionTimeout(), True), (InFailedSqlTransaction(), False)],
)
def test_a_transaction_that_the_database_ended_is_no_defect(
    cause: Exception, *, away: bool
) -> None:
    error = InternalError()
    error.__cause__ = cause
    assert isinstance(problems.refusal_for(error), DatabaseUnavailable) == away


def test_lines_of_an_outage_are_counted_after_the_first(caplog: pytest.LogCaptureFixture) -> None:
    request = RequestFactory().get("/api/v1/jobs")
    for _ in range(PER_MINUTE + 5):
        problems.answer(request, OperationalError())
    told = [each for each in caplog.records if each.name == problems.logger.name]
    assert len(told) == PER_MINUTE + 5
    assert sum(map(RefusalFilter().filter, told)) == PER_MINUTE
