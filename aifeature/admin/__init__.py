"""Admin pages for operators and on-call. Importing this package registers them."""

from aifeature.admin.alerting import alerts
from aifeature.admin.audit_log import changes, guard_events, log_entries
from aifeature.admin.controls import features, launches, rate_overrides
from aifeature.admin.failures import web_failures
from aifeature.admin.jobs import jobs
from aifeature.admin.monitoring import overview, workers
from aifeature.admin.provider import provider_accounts, provider_models
from aifeature.admin.sign_in import tokens, users
from aifeature.admin.spend import ledger
from aifeature.admin.watch import schedule

__all__ = [
    "alerts",
    "changes",
    "features",
    "guard_events",
    "jobs",
    "launches",
    "ledger",
    "log_entries",
    "overview",
    "provider_accounts",
    "provider_models",
    "rate_overrides",
    "schedule",
    "tokens",
    "users",
    "web_failures",
    "workers",
]
