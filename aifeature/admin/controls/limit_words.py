"""What each limit of a control limits, and what holds while no value of its own is set."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from django.conf import settings

from aifeature.admin.common.show import NO_LIMIT
from aifeature.services import controls
from aifeature.spec import Feature, Limits

HELP: Final = MappingProxyType(
    {
        "daily_budget_usd": "What all users may spend in one UTC day.",
        "user_daily_budget_usd": "What one user may be charged in one UTC day.",
        "user_daily_spend_usd": "What one user may cost us in one UTC day, charged or not; what"
        " they cancelled counts too.",
        "monthly_budget_usd": "What all features together may spend in one UTC month.",
        "requests_per_minute": "Submissions of one user; 0.1 is one in ten minutes.",
        "tokens_per_minute": "Tokens of one user's calls.",
        "user_in_flight": "Jobs of one user that run at the same time; the others wait.",
        "deadline_s": "From submission on.",
        "retention_days": "From a job's end on; then its input and output are deleted.",
        "prompt_version": "The version that answers.",
    }
)
"""By field of a control."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """One field of the form."""

    limits: str
    """What it limits, as a sentence."""
    unset: str
    """What holds while it has no value; shown in the empty field."""


def of_feature(feature: Feature) -> dict[str, Meaning]:
    """By field of a feature's control."""
    limits = feature.limits
    unset = {
        "daily_budget_usd": _usd(limits.daily_budget_usd),
        "user_daily_budget_usd": _usd(limits.user_daily_budget_usd),
        "user_daily_spend_usd": _spend(limits),
        "requests_per_minute": _number(limits.requests_per_minute),
        "tokens_per_minute": _number(limits.tokens_per_minute),
        "user_in_flight": _number(limits.user_in_flight),
        "deadline_s": _number(limits.deadline_s),
        "retention_days": _number(limits.retention_days),
    }
    return {name: Meaning(HELP[name], value) for name, value in unset.items()}


def of_everything() -> dict[str, Meaning]:
    """By field of the control of everything."""
    month = settings.AIFEATURE["GLOBAL_MONTHLY_BUDGET_USD"]
    setting = "no limit" if month is None else f"${month:,.2f}, from GLOBAL_MONTHLY_BUDGET_USD"
    return {
        "user_daily_spend_usd": Meaning(
            "What one user may cost us in all features together in one UTC day.",
            "as much as in the feature that allows most",
        ),
        "daily_budget_usd": Meaning(
            f"What all features together may spend in one UTC day. Now: {controls.global_daily()}.",
            "GLOBAL_DAILY_BUDGET_USD, or else the sum of the features' daily caps",
        ),
        "monthly_budget_usd": Meaning(HELP["monthly_budget_usd"], setting),
    }


def _usd(usd: Decimal | None) -> str:
    return "no limit" if usd is None else f"${usd:,.2f}, from the code"


def _spend(limits: Limits) -> str:
    if limits.user_daily_spend_usd is not None:
        return _usd(limits.user_daily_spend_usd)
    return "twice what they may be charged"


def _number(value: Decimal | float | None) -> str:
    return "no limit" if value is None or value >= NO_LIMIT else f"{value:,}, from the code"
