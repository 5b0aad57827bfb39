"""A database connection outside of the pool, for a thread that may wait for nobody."""

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
    """One connection, opened at the first call and again after an outage. For one thread."""

    def __init__(self, *, lock_timeout: str, statement_timeout: str) -> None:
        """Prepare; nothing is connected yet. Times are PostgreSQL's, such as `"100ms"`."""
        self._session = {
            "lock_timeout": lock_timeout,
            "statement_timeout": statement_timeout,
        }
        self._connection: psycopg.Connection[Any] | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that is not known to be lost."""
        return self._connection is not None

    def rows(self, function: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """What a function returns; the same as `aifeature.models.functions.rows`.

        Raises:
            django.db.Error: the database is away, or a lock or the statement took too long.
        """
        with connection.wrap_database_errors:
            if self._connection is None:
                wrapper = cast("DatabaseWrapper", connection)
                self._connection = wrapper.connect_apart(**self._session)
            try:
                return rows_of(self._connection, function, *arguments)
            except psycopg.Error as error:
                # A server that only reads may have been replaced: a new connection finds out.
                lost = self._connection.info.transaction_status is not TransactionStatus.IDLE
                if lost or isinstance(error, ReadOnlySqlTransaction):
                    self.close()
                raise

    def close(self) -> None:
        """Close the connection, if there is one; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
