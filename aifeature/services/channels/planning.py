"""The messages that one channel is sent now. Pure: rows in, decisions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from aifeature.models import Delivery
from aifeature.services.channels import backoff

SINGLES: Final = 5
"""Messages of a channel in one minute. More alerts than this are one summary."""

MINUTE: Final = timedelta(minutes=1)

_BEGINS: Final = frozenset({Delivery.Event.BEGIN, Delivery.Event.ESCALATION})


@dataclass(frozen=True, slots=True)
class Recent:
    """The messages of a channel in the last minute."""

    messages: int = 0
    has_summary: bool = False


@dataclass(slots=True)
class Plan:
    """Decisions about the waiting rows of one channel."""

    send: list[Delivery] = field(default_factory=list)
    """One message each, in this order."""
    group: list[Delivery] = field(default_factory=list)
    """Rows that a new summary carries. It is sent after `send`."""
    skip: list[Delivery] = field(default_factory=list)
    give_up: list[Delivery] = field(default_factory=list)


def plan(
    rows: Sequence[Delivery], *, begun: set[int], recent: Recent, is_failing: bool, now: datetime
) -> Plan:
    """Return what to do with the waiting rows of a channel.

    * A row that waited for 24 hours is given up.
    * A beginning is not sent when the alert was acknowledged meanwhile.
    * A beginning that the channel missed, because the alert is over, goes into a summary together
      with its end. A pager must not wake on-call about what is over.
    * A channel that fails gets one message: the one with the fewest tries. So a message that the
      receiver refuses does not block the others.
    * More than SINGLES messages in a minute become one summary. There is one summary in a minute.

    Args:
        rows: All waiting rows of the channel with their alerts, oldest first.
        begun: Ids of the alerts of which the channel was sent the beginning.
        recent: Its messages in the last minute.
        is_failing: Whether its last try failed.
        now: The time of the decision.
    """
    found = Plan()
    oldest = now - backoff.GIVEN_UP_AFTER
    kept = [row for row in rows if row.created_at > oldest]
    found.give_up += [row for row in rows if row.created_at <= oldest]
    found.skip += [row for row in kept if _is_taken(row)]
    open_rows = [row for row in kept if not _is_taken(row)]
    unsent = {row.alert_id for row in open_rows if row.event in _BEGINS}
    missed, due = [], []
    for row in open_rows:
        if _is_missed(row, unsent):
            missed.append(row)
        elif row.event == Delivery.Event.END and row.alert_id not in begun:
            found.skip.append(row)
        elif backoff.is_due(row.next_at, now):
            due.append(row)
    if not is_failing:
        _spread(found, due, missed, recent)
    elif due:
        found.send.append(min(due, key=lambda row: (row.tries, row.id)))
    elif not any(row.event == Delivery.Event.SUMMARY for row in open_rows):
        found.group += missed
    return found


def _is_missed(row: Delivery, unsent: set[int | None]) -> bool:
    """Return whether the alert began and ended before the channel was notified."""
    if row.event in _BEGINS:
        return row.alert is not None and row.alert.closed_at is not None
    return row.event == Delivery.Event.END and row.alert_id in unsent


def _is_taken(row: Delivery) -> bool:
    alert = row.alert
    is_open = alert is not None and alert.closed_at is None
    return bool(is_open and alert and alert.acknowledged_at and row.event in _BEGINS)


def _spread(found: Plan, due: list[Delivery], missed: list[Delivery], recent: Recent) -> None:
    summaries = [row for row in due if row.event == Delivery.Event.SUMMARY]
    singles = [row for row in due if row.event != Delivery.Event.SUMMARY]
    found.send += summaries[:1] if not recent.has_summary else []
    may_group = not recent.has_summary and not summaries
    if recent.messages + len(singles) <= SINGLES:
        found.send += singles
    elif may_group:
        missed = [*missed, *singles]
    if may_group:
        found.group += missed
