"""The screens of operations and on-call. Importing this package registers them."""

from aifeature.admin import (
    changes,
    features,
    jobs,
    ledger,
    overview,
    people,
    schedule,
    tokens,
    workers,
)

__all__ = [
    "changes",
    "features",
    "jobs",
    "ledger",
    "overview",
    "people",
    "schedule",
    "tokens",
    "workers",
]
