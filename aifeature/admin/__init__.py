"""Admin pages for operators and on-call. Importing this package registers them."""

from aifeature.admin.alerting import alerts, channels, deliveries, silences
from aifeature.admin.audit_log import changes, guard_events, log_entries
from aifeature.admin.controls import blocks, features, launches, rate_overrides
from aifeature.admin.failures import web_failures
from aifeature.admin.feedback import ratings
from aifeature.admin.jobs import jobs
from aifeature.admin.monitoring import overview, workers
from aifeature.admin.people import people
from aifeature.admin.provider import provider_accounts, provider_models
from aifeature.admin.rollout import canaries, shadows
from aifeature.admin.sign_in import tokens, users
from aifeature.admin.spend import ledger
from aifeature.admin.watch import schedule

__all__ = [
    "alerts",
    "blocks",
    "canaries",
    "changes",
    "channels",
    "deliveries",
    "features",
    "guard_events",
    "jobs",
    "launches",
    "ledger",
    "log_entries",
    "overview",
    "people",
    "provider_accounts",
    "provider_models",
    "rate_overrides",
    "ratings",
    "schedule",
    "shadows",
    "silences",
    "tokens",
    "users",
    "web_failures",
    "workers",
]
