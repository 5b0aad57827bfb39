"""The budgets of a day and of a month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from aifeature.policies.budget import resets_at


@pytest.mark.parametrize(
    ("now", "day", "month"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), (2026, 1, 2), (2026, 2, 1)),
        (datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC), (2026, 2, 1), (2026, 2, 1)),
        (datetime(2026, 2, 28, 12, tzinfo=UTC), (2026, 3, 1), (2026, 3, 1)),
        (datetime(2028, 2, 28, 12, tzinfo=UTC), (2028, 2, 29), (2028, 3, 1)),
        (datetime(2026, 12, 31, 8, tzinfo=UTC), (2027, 1, 1), (2027, 1, 1)),
        (
            datetime(2026, 7, 1, 0, 30, tzinfo=timezone(timedelta(hours=2))),
            (2026, 7, 1),
            (2026, 7, 1),
        ),
    ],
)
def test_a_window_begins_at_midnight_in_utc(
    now: datetime, day: tuple[int, int, int], month: tuple[int, int, int]
) -> None:
    for scope in ("user", "feature", "global"):
        assert resets_at(scope, now) == datetime(*day, tzinfo=UTC)
    assert resets_at("month", now) == datetime(*month, tzinfo=UTC)
