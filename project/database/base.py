"""The backend itself, under the name that Django looks for."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Final

import psycopg
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from django.utils.functional import cached_property

from project.database import session
from project.database.errors import ErrorWrapper
from project.database.pool import Connection, Pool, urgent

URGENT: Final = {"connect_timeout": 2, "tcp_user_timeout": 2000}
"""Limits of a connection for urgent work: seconds, and milliseconds. Below 2 s libpq connects to
no server."""

URGENT_OPTIONS: Final = "-c lock_timeout=1000 -c statement_timeout=1500"
"""Milliseconds after which the server ends a wait, and a statement."""


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's PostgreSQL with our pool; `OPTIONS["pool"]` holds its `max_size` and `timeout`."""

    @property
    def pool(self) -> Pool | None:
        """The process's pool for this database, made at its first use."""
        options: dict[str, Any] | None = self.settings_dict["OPTIONS"].get("pool")
        if self.alias == NO_DB_ALIAS or not options:
            return None
        pools: dict[str, Pool] = self._connection_pools  # type: ignore[attr-defined]  # not in the stubs
        # Of two threads that come first at once, one makes it for both.
        return pools.get(self.alias) or pools.setdefault(self.alias, self._make_pool(options))

    @cached_property
    def wrap_database_errors(self) -> ErrorWrapper:
        """Return the context that raises psycopg's errors as Django's."""
        return ErrorWrapper(self)

    def close_if_health_check_failed(self) -> None:
        """Let go of a connection that is known to be lost. Called before every statement.

        Django looks for one at the end of a request only, so a thread that serves none would
        keep it for ever. The same holds for a connection to a server that takes no writes.
        """
        connection = self.connection
        if connection is None or self.in_atomic_block:
            return
        pool = self.pool
        if connection.closed or (pool is not None and pool.doubts(connection)):
            self.close()

    def urgent(self, *, trusted: bool = True) -> AbstractContextManager[None]:
        """A context in which a thread connects beside the pool, within two seconds at most.

        For a thread that holds a connection already, nothing changes.

        Args:
            trusted: False for work that anybody can cause: it has spare connections of its own.
        """
        return urgent(trusted=trusted)

    def limit_statements(self, seconds: float) -> None:
        """Have the server end statements after so many seconds; 0: never.

        It holds for this process's later connections to this database, in all threads.
        """
        options = self.settings_dict["OPTIONS"]  # all threads share it
        given = options.get("options", "")
        options["options"] = f"{given} -c statement_timeout={round(seconds * 1000)}".strip()

    def connect_apart(self, **session: str) -> Connection:
        """Return a new connection outside of the pool, in autocommit mode, for its caller to close.

        Args:
            session: Settings of the session, such as `lock_timeout="100ms"`.

        Raises:
            psycopg.OperationalError: the database does not take connections.
        """
        given = " ".join(f"-c {name}={value}" for name, value in session.items())
        return self._connect(given)

    def _make_pool(self, options: dict[str, Any]) -> Pool:
        return Pool(
            self._connect,
            connect_urgently=lambda: self._connect(URGENT_OPTIONS, **URGENT),
            **options,
        )

    def get_connection_params(self) -> dict[str, Any]:
        """Return what `psycopg.connect` takes. Our settings of the session go before a URL's."""
        parameters: dict[str, Any] = super().get_connection_params()
        parameters["options"] = f"{parameters.get('options', '')} {session.OPTIONS}".strip()
        return parameters

    def _connect(self, settings: str = "", **limits: int) -> Connection:
        parameters = self.get_connection_params()
        options = f"{parameters['options']} {settings}".strip()
        try:
            connection: Connection = psycopg.connect(
                **{**parameters, **limits, "options": options}, autocommit=True
            )
        except psycopg.OperationalError as error:
            raise session.explained(error) from None
        try:
            self._settle(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _settle(self, connection: Connection) -> None:
        session.settle(connection)
        self._configure_connection(connection)  # type: ignore[attr-defined]  # as above
        if not session.is_pooled(connection):
            return
        # Django's own switch for cursors that outlive a transaction: a pooler may not keep them.
        self.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = True
        if not session.keeps_prepared(connection):
            connection.prepare_threshold = None
            session.report_pooler()
