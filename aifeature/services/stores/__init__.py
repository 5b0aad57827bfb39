"""Connections to Redis and the broker, a check of Redis, and the database clock.

Public: `broker`, `database_clock`, `redis_clients`, `redis_state`.

Size limit: 250 lines.
"""

from aifeature.services.stores import broker, database_clock, redis_clients, redis_state

__all__ = ["broker", "database_clock", "redis_clients", "redis_state"]
