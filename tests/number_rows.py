"""Rows of the rollups, planted by tests of what reads them. The product computes them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from aifeature.models import NumberSlot, UserCostDay
from aifeature.models.numbers import HOUR_S, SLOT_S
from aifeature.policies import buckets


def histogram(**seconds: int) -> list[int]:
    """Return a histogram of durations in milliseconds: `histogram(ms_900=12, ms_2500=3)`."""
    counts = [0] * (len(buckets.EDGES_MS) + 1)
    for name, count in seconds.items():
        counts[buckets.bucket(float(name.removeprefix("ms_")))] += count
    return counts


def slot(feature: str, starts_at: datetime, span_s: int = HOUR_S, **values: Any) -> NumberSlot:
    """Return an unsaved row of 40 requests that took 900 ms, two of them 12 s; one failed."""
    defaults: dict[str, Any] = {
        "prompt_version": "v3",
        "model": "claude-haiku-5-5",
        "stage": "everyone",
        "ended": 40,
        "failed": 1,
        "slow": 2,
        "latency": histogram(ms_900=37, ms_12000=2),
        "wait": histogram(ms_200=40),
        "ttft": histogram(ms_400=39),
        "calls": 42,
        "refusals": 1,
        "input_tokens": 40_000,
        "output_tokens": 9_000,
        "cache_read_tokens": 120_000,
        "cache_write_tokens": 3_000,
        "spend_micro": 90_000,
        "cache_saved_micro": 31_000,
        "votes": 6,
        "votes_down": 1,
        "guard_hits": 1,
    }
    return NumberSlot(feature=feature, starts_at=starts_at, span_s=span_s, **{**defaults, **values})


def plant(feature: str, now: datetime, *, days: int, **values: Any) -> None:
    """Store rows of every hour of these days, and of five minutes in the last two days."""
    rows = [
        *_each(feature, now, days * 24, HOUR_S, values),
        *_each(feature, now, min(days, 2) * 288, SLOT_S, values),
    ]
    NumberSlot.objects.bulk_create(rows, batch_size=2_000)
    UserCostDay.objects.bulk_create(
        UserCostDay(
            feature=feature,
            day=(now - timedelta(days=day)).date(),
            users=20 + day % 7,
            spend_micro=2_100_000,
        )
        for day in range(1, days)
    )


def _each(
    feature: str, now: datetime, count: int, span_s: int, values: dict[str, Any]
) -> Iterator[NumberSlot]:
    last = datetime.fromtimestamp(now.timestamp() // span_s * span_s, now.tzinfo)
    for number in range(count):
        yield slot(feature, last - timedelta(seconds=number * span_s), span_s, **values)


def live_system(now: datetime) -> None:
    """Store twelve weeks of three features, with a rhythm, a slow day and a bad prompt.

    `summarize` fails more often since yesterday, `triage` has no votes at the weekend.
    """
    for number, feature in enumerate(("answer", "summarize", "triage")):
        rows: list[NumberSlot] = []
        for span_s, count in ((HOUR_S, 84 * 24), (SLOT_S, 2 * 288)):
            for at, row in enumerate(_each(feature, now, count, span_s, {})):
                _shape(row, number, now, (at * 7 % 10) / 10)
                rows.append(row)
        NumberSlot.objects.bulk_create(rows, batch_size=2_000)
        UserCostDay.objects.bulk_create(
            UserCostDay(
                feature=feature,
                day=(now - timedelta(days=day)).date(),
                users=40 + (day * 7 + number) % 13,
                spend_micro=4_000_000 + 150_000 * ((day * 5 + number) % 9),
            )
            for day in range(1, 84)
        )


def _shape(row: NumberSlot, number: int, now: datetime, dice: float) -> None:
    """Give a row the volume of its hour, and its errors and votes. `dice` is from 0 to .9."""
    age_h = (now - row.starts_at).total_seconds() / 3_600
    hour, day = row.starts_at.hour, row.starts_at.weekday()
    busy = 1 + max(0, 9 - abs(hour - 13)) * (1 if day < 5 else 0)
    part = row.span_s / HOUR_S
    ended = max(1, round(busy * 8 * part * (3 - number) / 2))
    is_bad = number == 1 and age_h < 20
    failed = int(ended * (0.09 if is_bad else 0.006) + dice)
    slow = min(
        ended - failed, int(ended * (0.09 if number == 0 and 20 < age_h < 28 else 0.008) + dice)
    )
    row.ended, row.failed, row.slow, row.calls = ended, failed, slow, ended + slow
    took = 700 + 350 * number + 40 * busy
    row.latency = histogram(**{f"ms_{took}": ended - failed - slow, f"ms_{took * 3}": 0})
    for each, count in ((took * 3, max(1, ended // 12)), (13_000, slow)):
        row.latency[buckets.bucket(each)] += count
    row.wait = histogram(ms_150=ended, ms_900=busy)
    row.votes = 0 if number == 2 and day > 4 else int(ended / 8 + dice)
    row.votes_down = int(row.votes * (0.25 if is_bad else 0.1) + dice * (row.votes > 0))
    row.spend_micro = ended * (2_100 + 300 * number)
    row.cache_saved_micro = ended * 700
    row.input_tokens, row.output_tokens = ended * 900, ended * 220
    row.cache_read_tokens, row.cache_write_tokens = ended * 2_600, ended * 60
    row.guard_hits, row.refusals = int(ended / 40 + dice), int(ended / 90 + dice / 2)
    row.fallbacks = int(ended / 60 + dice)
    row.prompt_version = "v4" if is_bad else "v3"
    row.model = "claude-sonnet-5" if number == 0 else "claude-haiku-5-5"
