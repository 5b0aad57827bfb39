"""Jobs of evaluations, which belong to no user: submit them, and read their ends and their spend.

Public: `account`, `submit`, `ended`, `spent_micro`, `mean_micro`, `Ended`.

Size limit: 250 lines.
"""

from aifeature.services.evaluations.jobs import (
    Ended,
    account,
    ended,
    mean_micro,
    spent_micro,
    submit,
)

__all__ = ["Ended", "account", "ended", "mean_micro", "spent_micro", "submit"]
