"""Help texts of the limits of a control, and the values that apply while none is set."""

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
        "beta_users": "They may use it from stage beta on, also if they are in the hold-out.",
        "beta_groups": "Their members may use it from stage beta on, except those in the hold-out.",
        "beta_cap": "Most users who may join by themselves, at the stages beta and percent. 0: by"
        " invitation only. Lowering it removes nobody.",
        "holdout_percent": "Share of users who never get it, 0 to 50, so that its value can be"
        " measured. Staff and invited users are not among them.",
        "daily_budget_usd": "Maximum spend of all users in one UTC day.",
        "user_daily_budget_usd": "Maximum charge to one user in one UTC day.",
        "user_daily_spend_usd": "Maximum cost of one user's calls in one UTC day, charged or not."
        " Cancelled calls count.",
        "monthly_budget_usd": "Maximum spend of all features in one UTC month.",
        "requests_per_minute": "Submissions of one user. 0.1 means one in ten minutes.",
        "tokens_per_minute": "Tokens of one user's calls.",
        "user_in_flight": "Jobs of one user that run at the same time. Other jobs wait.",
        "deadline_s": "Counted from submission.",
        "retention_days": "Counted from the end of a job. Then its input and output are deleted.",
        "prompt_version": "The version for staff and evaluations, at the stages off and staff.",
        "regression_action": "What happens when the weekly evaluation finds the live version worse"
        " than at its activation, and a second run confirms it. The alert opens in any case.",
    }
)
"""By field of a control, its help text."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """Texts of one field of the form."""

    limits: str
    """Help text."""
    unset: str
    """Placeholder: the value that applies while the field is empty."""


def of_feature(feature: Feature) -> dict[str, Meaning]:
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
    month = settings.AIFEATURE["GLOBAL_MONTHLY_BUDGET_USD"]
    setting = "no limit" if month is None else f"${month:,.2f}, from GLOBAL_MONTHLY_BUDGET_USD"
    return {
        "user_daily_spend_usd": Meaning(
            "Maximum cost of one user's calls of all features in one UTC day.",
            "the highest cap of any feature",
        ),
        "daily_budget_usd": Meaning(
            f"Maximum spend of all features in one UTC day. Now: {controls.global_daily()}.",
            "GLOBAL_DAILY_BUDGET_USD, else the sum of the caps of features and evaluations",
        ),
        "monthly_budget_usd": Meaning(HELP["monthly_budget_usd"], setting),
    }


def _usd(usd: Decimal | None) -> str:
    return "no limit" if usd is None else f"${usd:,.2f}, from the code"


def _spend(limits: Limits) -> str:
    if limits.user_daily_spend_usd is not None:
        return _usd(limits.user_daily_spend_usd)
    return "twice the daily budget per user"


def _number(value: Decimal | float | None) -> str:
    return "no limit" if value is None or value >= NO_LIMIT else f"{value:,}, from the code"
