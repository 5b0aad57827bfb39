"""Budget alerts, the reconciler, settlement, and comparisons with the provider's usage.

Public: `budgets`, `bulk_settlement`, `reconciler`, `settlement`, and the package `usage`.

Size limit: 1,050 lines.
"""

from aifeature.services.spend import budgets, bulk_settlement, reconciler, settlement, usage

__all__ = ["budgets", "bulk_settlement", "reconciler", "settlement", "usage"]
