"""The screens of operations and on-call. Importing this package registers them."""

from aifeature.admin import (
    alerts,
    changes,
    features,
    jobs,
    launches,
    ledger,
    overview,
    people,
    provider_accounts,
    provider_models,
    rate_overrides,
    schedule,
    tokens,
    web_failures,
    workers,
)

__all__ = [
    "alerts",
    "changes",
    "features",
    "jobs",
    "launches",
    "ledger",
    "overview",
    "people",
    "provider_accounts",
    "provider_models",
    "rate_overrides",
    "schedule",
    "tokens",
    "web_failures",
    "workers",
]
