"""The database backend. Django imports this module by its name."""

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
"""Limits of a connection for urgent work: seconds, and milliseconds. libpq takes 2 s at least."""

URGENT_OPTIONS: Final = "-c lock_timeout=1000 -c statement_timeout=1500"
"""Milliseconds after which the server ends a wait for a lock, and a statement."""


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's PostgreSQL with our pool; `OPTIONS["pool"]` holds its `max_size` and `timeout`."""

    @property
    def pool(self) -> Pool | None:
        """The process's pool for this database, made at the first use."""
        options: dict[str, Any] | None = self.settings_dict["OPTIONS"].get("pool")
        if self.alias == NO_DB_ALIAS or not options:
            return None
        pools: dict[str, Pool] = self._connection_pools  # type: ignore[attr-defined]  # not in the stubs
        # Two threads may make one at the same time: both then use the one stored first.
        return pools.get(self.alias) or pools.setdefault(self.alias, self._make_pool(options))

    @cached_property
    def wrap_database_errors(self) -> ErrorWrapper:
        """Return the context that raises psycopg's errors as Django's."""
        return ErrorWrapper(self)

    def close_if_health_check_failed(self) -> None:
        """Give back a lost or stale connection. Called before every statement.

        Django does so at the end of a request only, so a thread that serves none would keep the
        connection for ever.
        """
        connection = self.connection
        if connection is None or self.in_atomic_block:
            return
        pool = self.pool
        if connection.closed or (pool is not None and pool.is_stale(connection)):
            self.close()

    def urgent(self, *, trusted: bool = True) -> AbstractContextManager[None]:
        """Connect outside the pool in this context, within two seconds at most.

        A thread that already has a connection continues to use it.

        Args:
            trusted: False for work that any visitor can cause. It has spare connections of its own.
        """
        return urgent(trusted=trusted)

    def limit_statements(self, seconds: float) -> None:
        """Set the time after which the server ends a statement; 0 means no limit.

        Applies to later connections of this process to this database, in all threads.
        """
        options = self.settings_dict["OPTIONS"]  # all threads share it
        given = options.get("options", "")
        options["options"] = f"{given} -c statement_timeout={round(seconds * 1000)}".strip()

    def connect_apart(self, **session: str) -> Connection:
        """Return a new connection outside the pool, in autocommit mode. The caller closes it.

        Args:
            session: Settings of the session, such as `lock_timeout="100ms"`.

        Raises:
            psycopg.OperationalError: the database accepts no connection.
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
        """Return the arguments of `psycopg.connect`. Our session settings override a URL's."""
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
            raise session.with_advice(error) from None
        try:
            self._configure(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _configure(self, connection: Connection) -> None:
        session.configure(connection)
        self._configure_connection(connection)  # type: ignore[attr-defined]  # as above
        if not session.is_pooled(connection):
            return
        # A pooler may drop cursors that outlive a transaction. This is Django's setting for that.
        self.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = True
        if not session.keeps_prepared(connection):
            connection.prepare_threshold = None
            session.report_pooler()
