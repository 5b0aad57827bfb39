"""The local stack: all processes of the system on one machine, for development.

`manage.py stack` starts an embedded PostgreSQL and Valkey, migrates, and runs web, workers, beat,
Flower and the sandbox provider under one supervisor. Production uses nothing of this package.
"""
