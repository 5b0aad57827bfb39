"""The screens of operations and on-call. Importing this package registers them."""

from aifeature.admin import changes, features, jobs, ledger, people, schedule, tokens

__all__ = ["changes", "features", "jobs", "ledger", "people", "schedule", "tokens"]
