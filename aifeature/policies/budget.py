"""Spend caps of a feature's calls, per UTC day and month."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from aifeature.models.transitions import Caps
from aifeature.money import to_micro
from aifeature.reasons import FailureCode
from aifeature.spec import Limits

SPENT_BY_USER: Final = MappingProxyType(
    {"user_spend": FailureCode.USER_LIMIT, "account": FailureCode.ACCOUNT_LIMIT}
)
"""Failure of a job stopped by its user's own spend, by the window's scope."""

SPEND_PER_CHARGE = 2
"""Default cap on a user's daily spend, as a multiple of their charge cap."""


def user_spend_usd(
    limits: Limits, *, budget_usd: Decimal | None, spend_usd: Decimal | None
) -> Decimal | None:
    """Return the daily spend cap of one user in a feature, in dollars; None is no cap.

    Values set by an operator (`budget_usd`, `spend_usd`; None if not set) override the code's.
    Without a spend cap, it is twice what the user may be charged.
    """
    if spend_usd is not None:
        return spend_usd
    if budget_usd is None:
        if limits.user_daily_spend_usd is not None:
            return limits.user_daily_spend_usd
        budget_usd = limits.user_daily_budget_usd
    return None if budget_usd is None else SPEND_PER_CHARGE * budget_usd


def caps(
    limits: Limits,
    *,
    user_daily_usd: Decimal | None,
    user_spend_usd: Decimal | None,
    account_spend_usd: Decimal | None,
    daily_usd: Decimal | None,
    shared: Caps,
) -> Caps:
    """Return the caps in micro-dollars. Values set by an operator override the feature's limits.

    `shared` holds the caps over all features.
    """
    return replace(
        shared,
        user=to_micro(limits.user_daily_budget_usd if user_daily_usd is None else user_daily_usd),
        user_spend=to_micro(user_spend_usd),
        account=to_micro(account_spend_usd),
        feature=to_micro(limits.daily_budget_usd if daily_usd is None else daily_usd),
    )


@dataclass(frozen=True, slots=True)
class GlobalDaily:
    usd: Decimal | None
    """In US dollars; None is no cap."""
    source: str
    """Its source, as the end of a sentence."""

    def __str__(self) -> str:
        return f"{'no cap' if self.usd is None else f'${self.usd:,.2f}'}, {self.source}"


def global_daily(
    features: Mapping[str, Decimal | None],
    *,
    evals: Decimal,
    admin: Decimal | None,
    setting: Decimal | None,
) -> GlobalDaily:
    """Return the cap over all features: the configured cap, else the sum of the separate caps.

    Args:
        features: The daily cap in US dollars of each feature that users may use; None is no cap.
        evals: EVALS_DAILY_BUDGET_USD, which pays for all evaluations.
        admin: The cap set in admin for "Everything".
        setting: GLOBAL_DAILY_BUDGET_USD.

    Example:
        >>> caps = {"answer": Decimal(20), "triage": Decimal(5)}
        >>> str(global_daily(caps, evals=Decimal(10), admin=None, setting=None))
        "$35.00, the sum of the features' daily caps and EVALS_DAILY_BUDGET_USD"
    """
    if admin is not None:
        return GlobalDaily(admin, "set in admin")
    if setting is not None:
        return GlobalDaily(setting, "from GLOBAL_DAILY_BUDGET_USD")
    uncapped = [slug for slug, usd in features.items() if usd is None]
    if uncapped:
        return GlobalDaily(None, f"since {', '.join(uncapped)} has none and none is set for all")
    total = sum((usd for usd in features.values() if usd is not None), evals)
    return GlobalDaily(total, "the sum of the features' daily caps and EVALS_DAILY_BUDGET_USD")


def resets_at(scope: str, now: datetime) -> datetime:
    """Return when the next window of this scope (user, feature, global or month) starts, in UTC."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if scope != "month":
        return midnight + timedelta(days=1)
    return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
