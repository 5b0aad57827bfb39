"""Django's PostgreSQL backend with a connection pool that tells an outage from a busy moment."""
