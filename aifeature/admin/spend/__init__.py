"""The ledger, and the settlement of calls with unconfirmed cost."""
