"""Django's PostgreSQL backend with a connection pool that separates an outage from a busy pool."""
