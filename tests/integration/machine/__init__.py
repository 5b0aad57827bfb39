"""A model of a job's life, compared with the SQL functions on real PostgreSQL.

`rows` has the rows of the database and `view` the rows that one call reads. `calls` and `ledger`
have the promises of each function. `lanes` runs calls in concurrent transactions. `invariants` are
promises that need no model. In `test_machine` Hypothesis chooses the calls.
"""
