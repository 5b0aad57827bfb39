"""The local stack: every process of the system on one machine, from wheels, for development.

`manage.py stack` starts an embedded PostgreSQL and Valkey, migrates, and runs web, workers, beat,
Flower and the sandbox provider under one supervisor. Nothing in here is used in production.
"""
