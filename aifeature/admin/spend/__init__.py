"""The ledger, and the settlement of calls with an unknown bill."""
