"""The caps of a UTC day and month that a call of a feature must fit in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from aifeature.models.transitions import Caps
from aifeature.spec import Limits

MICRO = 1_000_000


def to_micro(usd: Decimal | None) -> int | None:
    """Whole micro-dollars of an amount in dollars, rounded down; None stays None (no cap)."""
    return None if usd is None else int(usd * MICRO)


def caps(
    limits: Limits,
    *,
    user_daily_usd: Decimal | None,
    daily_usd: Decimal | None,
    global_daily_usd: Decimal | None,
    global_monthly_usd: Decimal | None,
) -> Caps:
    """Caps in micro-dollars. What an operator set goes before what the feature's code says."""
    return Caps(
        user=to_micro(limits.user_daily_budget_usd if user_daily_usd is None else user_daily_usd),
        feature=to_micro(limits.daily_budget_usd if daily_usd is None else daily_usd),
        everything=to_micro(global_daily_usd),
        month=to_micro(global_monthly_usd),
    )


def starts_anew(scope: str, now: datetime) -> datetime:
    """When the window of this scope (user, feature, global or month) is empty again, in UTC."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if scope != "month":
        return midnight + timedelta(days=1)
    return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
