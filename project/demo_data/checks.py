"""Lets the checks of the running system see the synthetic days: the sums, the alert, the holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from aifeature.models import Alert, Level, SummedTime, reconciliation
from aifeature.services.alarms.check import check as check_numbers
from aifeature.services.monitoring.spikes import rollup as spend_hours
from aifeature.services.numbers import rollup, six, windows
from aifeature.services.rollout.check import check as check_rollout
from project.demo_data.rows import Request
from project.demo_data.story import ANSWER, Story

HOUR: Final = timedelta(hours=1)
SEEN_EARLIEST: Final = timedelta(hours=18)
SEEN_LATER: Final = timedelta(hours=47)
"""Time after the prompt change until which the alert must be open: then it names the change."""


def sum_up(story: Story, requests: Sequence[Request]) -> None:
    """Write the sums of the ledger and of the numbers."""
    if requests:
        reconciliation.reconcile(requests[0].created.date(), repair=True)
        spend_hours.roll_up(story.now)
        rollup.backfill(requests[0].created, story.now)


def run(story: Story) -> None:
    """Open the alert about `answer` when its number turned red, and run the checks of now."""
    if at := _turned_red(story):
        check_numbers(at)
        Alert.objects.filter(subject=ANSWER, closed_at=None).update(opened_at=at, seen_at=at)
        # The check of a past moment lets the sums go on from there.
        hour = int(HOUR.total_seconds())
        SummedTime.objects.update(ends=windows.floor(story.now, hour))
    check_numbers(story.now)
    check_rollout()


def _turned_red(story: Story) -> datetime | None:
    """Return the full hour in which the number of `answer` turned red; None if it did not."""
    hour = int(HOUR.total_seconds())
    at = windows.floor(story.answer_changed + SEEN_EARLIEST, hour)
    while at < min(story.now, story.answer_changed + SEEN_LATER):
        if six.thumbs_down(ANSWER, at).level is Level.RED:
            return at
        at += HOUR
    return None
