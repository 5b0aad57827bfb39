"""PostgreSQL's errors as Django's. An error of a server that cannot write now is an outage.

psycopg raises these as InternalError or ProgrammingError, like defects in the code. Django code,
ours and that of others, handles an OperationalError as an outage: the statement may work later.
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
"""The server only reads or refuses our user, or a transaction took too long."""


no_room: Final = threading.Event()
"""Set after a write of this process failed because the disk was full, until
`project.database.health` has written a text of a usual size."""


class ErrorWrapper(DatabaseErrorWrapper):
    """Raises OUTAGES as OperationalError, and other errors as Django does."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Any:
        """Translate an error of the block.

        Raises:
            django.db.Error: for each error of psycopg, which becomes its cause.
        """
        if isinstance(exc_value, DiskFull):
            no_room.set()
        if not isinstance(exc_value, OUTAGES):
            return super().__exit__(exc_type, exc_value, traceback)
        self.wrapper.errors_occurred = True  # type: ignore[attr-defined]  # not in the stubs
        if isinstance(exc_value, ReadOnlySqlTransaction) and (pool := self.wrapper.pool):  # type: ignore[attr-defined]
            pool.mark_stale()
        error = OperationalError(*exc_value.args)
        raise error.with_traceback(traceback) from exc_value
