"""A model of a job's life, held against the SQL functions on real PostgreSQL.

`rows` and `view` say what the database holds and what one call sees of it, `calls` and `ledger`
what each function promises, `lanes` runs calls in transactions that stay open side by side,
`invariants` are promises that need no model, and `test_machine` lets Hypothesis choose.
"""
