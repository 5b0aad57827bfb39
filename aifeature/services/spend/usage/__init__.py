"""Compares the ledger with what the provider says it saw: after a restore, or when sums differ."""
