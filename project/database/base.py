"""The backend itself, under the name that Django looks for."""

from __future__ import annotations

from typing import Any

import psycopg
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base

from project.database.pool import Connection, Pool


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

    def close_if_health_check_failed(self) -> None:
        """Let go of a connection that is known to be lost. Called before every statement.

        Django looks for one at the end of a request only, so a thread that serves none would
        keep it for ever.
        """
        connection = self.connection
        if connection is not None and connection.closed and not self.in_atomic_block:
            self.close()

    def connect_apart(self, **session: str) -> Connection:
        """Return a new connection outside of the pool, in autocommit mode, for its caller to close.

        Args:
            session: Settings of the session, such as `lock_timeout="100ms"`.

        Raises:
            psycopg.OperationalError: the database does not take connections.
        """
        parameters = self.get_connection_params()
        given = [f"-c {name}={value}" for name, value in session.items()]
        options = " ".join([parameters.get("options", ""), *given])
        return self._connect({**parameters, "options": options})

    def _make_pool(self, options: dict[str, Any]) -> Pool:
        parameters = self.get_connection_params()
        return Pool(lambda: self._connect(parameters), **options)

    def _connect(self, parameters: dict[str, Any]) -> Connection:
        connection: Connection = psycopg.connect(**parameters, autocommit=True)
        try:
            self._configure_connection(connection)  # type: ignore[attr-defined]  # as above
        except BaseException:
            connection.close()
            raise
        return connection
