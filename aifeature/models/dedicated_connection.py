"""A database connection outside the pool, for a thread that must not wait for others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import psycopg
from django.db import connection
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.pq import TransactionStatus

from aifeature.models.functions import rows_of

if TYPE_CHECKING:
    from project.database.base import DatabaseWrapper


class DedicatedConnection:
    """A connection of one thread. Opened at the first call, reopened after an outage."""

    def __init__(self, *, lock_timeout: str, statement_timeout: str) -> None:
        """Store the timeouts, in PostgreSQL's format such as `"100ms"`. Does not connect."""
        self._session = {
            "lock_timeout": lock_timeout,
            "statement_timeout": statement_timeout,
        }
        self._connection: psycopg.Connection[Any] | None = None

    @property
    def is_open(self) -> bool:
        """Whether a connection exists and is not known to be lost."""
        return self._connection is not None

    def rows(self, function: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Return a function's rows, as `aifeature.models.functions.rows` does.

        Raises:
            django.db.Error: the database is unavailable, or a lock or the statement timed out.
        """
        with connection.wrap_database_errors:
            if self._connection is None:
                wrapper = cast("DatabaseWrapper", connection)
                self._connection = wrapper.connect_apart(**self._session)
            try:
                return rows_of(self._connection, function, *arguments)
            except psycopg.Error as error:
                # A read-only server may be a former primary: a new connection reaches the new one.
                lost = self._connection.info.transaction_status is not TransactionStatus.IDLE
                if lost or isinstance(error, ReadOnlySqlTransaction):
                    self.close()
                raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
