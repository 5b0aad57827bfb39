"""Operator settings per feature and global: stage, caps, rates, kill switch, breakers.

Public: the effective values below, and the modules that change or explain them.

Size limit: 1,800 lines.
"""

from aifeature.services.controls import (
    breakers,
    floors,
    global_cap,
    kill_switch_history,
    launches,
    live,
    opening,
    rate_overrides,
    rates,
    row_check,
    switch,
    switch_refusal,
    switch_state,
)
from aifeature.services.controls.cache import clear_cache
from aifeature.services.controls.effective import (
    GLOBAL,
    account_spend_usd,
    caps,
    change,
    deadline_s,
    evals_caps,
    feature_rates,
    global_caps,
    global_daily,
    is_paused,
    is_visible,
    keeps_jobs,
    live_prompts,
    live_version,
    prompt_version,
    regression_action,
    retention_days,
    stage,
)

__all__ = [
    "GLOBAL",
    "account_spend_usd",
    "breakers",
    "cache",
    "caps",
    "change",
    "clear_cache",
    "deadline_s",
    "evals_caps",
    "feature_rates",
    "floors",
    "global_cap",
    "global_caps",
    "global_daily",
    "is_paused",
    "is_visible",
    "keeps_jobs",
    "kill_switch_history",
    "launches",
    "live",
    "live_prompts",
    "live_version",
    "opening",
    "prompt_version",
    "rate_overrides",
    "rates",
    "regression_action",
    "retention_days",
    "row_check",
    "stage",
    "switch",
    "switch_refusal",
    "switch_state",
]
