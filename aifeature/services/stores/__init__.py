"""Connections to Redis and the broker, a check of Redis, the database clock, the mark of demo data.

Public: `broker`, `database_clock`, `demo_data`, `redis_clients`, `redis_state`.

Size limit: 330 lines.
"""

from aifeature.services.stores import (
    broker,
    database_clock,
    demo_data,
    redis_clients,
    redis_state,
)

__all__ = ["broker", "database_clock", "demo_data", "redis_clients", "redis_state"]
