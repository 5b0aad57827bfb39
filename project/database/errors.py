"""PostgreSQL's errors as Django's, with those of a server that is in no state to write as outages.

psycopg follows the DB-API and calls these InternalError or ProgrammingError, as it calls defects.
Django code, ours and others', treats an OperationalError as what it is: the database cannot do this
now.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, Final

from django.db import OperationalError
from django.db.utils import DatabaseErrorWrapper
from psycopg.errors import (
    DiskFull,
    IdleInTransactionSessionTimeout,
    InsufficientPrivilege,
    ReadOnlySqlTransaction,
    TransactionTimeout,
)

OUTAGES: Final = (
    ReadOnlySqlTransaction,
    InsufficientPrivilege,
    IdleInTransactionSessionTimeout,
    TransactionTimeout,
)
"""A server that only reads, or refuses our user; and transactions that took too long."""


no_room: Final = threading.Event()
"""Set while a write of this process was refused for lack of room and none of a usual size was taken
since: `project.database.look` tries one."""


class ErrorWrapper(DatabaseErrorWrapper):
    """Raises an error of OUTAGES as OperationalError, and all others as Django does."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Any:
        """Translate what the block raised.

        Raises:
            django.db.Error: for each error of psycopg, with that as its cause.
        """
        if isinstance(exc_value, DiskFull):
            no_room.set()
        if not isinstance(exc_value, OUTAGES):
            return super().__exit__(exc_type, exc_value, traceback)
        self.wrapper.errors_occurred = True  # type: ignore[attr-defined]  # not in the stubs
        if isinstance(exc_value, ReadOnlySqlTransaction) and (pool := self.wrapper.pool):  # type: ignore[attr-defined]
            pool.doubt()
        error = OperationalError(*exc_value.args)
        raise error.with_traceback(traceback) from exc_value
