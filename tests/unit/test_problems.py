"""What an exception of the database is to who called the API."""

from __future__ import annotations

import pytest
from django.db import InternalError
from psycopg.errors import IdleInTransactionSessionTimeout, InFailedSqlTransaction

from aifeature.api import problems
from aifeature.api.refusals import DatabaseUnavailable


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
