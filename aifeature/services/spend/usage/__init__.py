"""Comparison of the ledger with the provider's exports, after a restore or if sums differ."""
