"""Delivers messages to channels from the database, at least once and in order.

A process leases a channel, decides what to send, sends without a transaction, and stores the
outcome. If it dies, the lease ends and another process sends again, with the same message id.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from aifeature.models import Alert, AlertChannel, Delivery
from aifeature.models.functions import database_now
from aifeature.services.alerting import alerts
from aifeature.services.channels import backoff, health, planning, register, sending
from aifeature.services.channels import messages as texts
from aifeature.services.channels.messages import Message
from aifeature.services.channels.planning import Plan, Recent
from aifeature.services.channels.sending import Batch, Send
from aifeature.services.channels.vault import KeyLostError

LEASE: Final = timedelta(seconds=60)
"""Time for which a channel belongs to one process. Longer than a round."""

MOST_ROWS: Final = 1_000
"""Waiting rows of a channel that one round reads."""

MOST_IN_ALL: Final = 5_000
"""Waiting rows after which a round takes no further channel: these take some seconds. The other
channels come first in the next round."""

_BEGINS: Final = (Delivery.Event.BEGIN, Delivery.Event.ESCALATION)

Clock = Callable[[], datetime]
Jitter = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Delivered:
    """Numbers of messages of one round."""

    sent: int
    failed: int


@dataclass(frozen=True, slots=True)
class _Work:
    """The messages of one leased channel, with their rows."""

    channel: AlertChannel
    rows: list[Delivery]
    messages: list[Message]


def deliver(
    now: Clock = database_now, *, using: Send = sending.send, jitter: Jitter = random.random
) -> Delivered:
    """Send what is due. Several processes may do so at the same time.

    Args:
        now: The clock; by default the database's.
        using: Sends one message.
        jitter: Random numbers from 0 to 1 for the waits after failures.
    """
    work = _lease(now())
    batches, lost = [], []
    for each in work:
        try:
            opened = register.opened(each.channel)
        except KeyLostError as error:
            lost.append(sending.Result(each.channel.pk, 0, str(error)))
        else:
            batches.append(Batch(each.channel.pk, opened, each.messages))
    results = [*lost, *sending.send_all(batches, using=using)]
    by_channel = {each.channel.pk: each for each in work}
    ended = now()
    for result in results:
        row = by_channel[result.channel_id].rows[result.index]
        _record(row, result.problem, ended, jitter)
    for channel_id in by_channel:
        health.free(channel_id, ended)
    failed = sum(1 for result in results if result.problem)
    return Delivered(len(results) - failed, failed)


def send_test(channel: AlertChannel, *, using: Send = sending.send) -> str:
    """Send a test now. Return the problem, or an empty text if it was accepted.

    The row of the test is kept with the others.
    """
    row = Delivery(channel=channel, event=Delivery.Event.TEST, created_at=database_now(), tries=1)
    try:
        batch = Batch(channel.pk, register.opened(channel), [texts.of_test(row, channel.name)])
    except KeyLostError as error:
        problem = str(error)
    else:
        problem = sending.send_all([batch], using=using)[0].problem
    now = database_now()
    row.state = Delivery.State.GIVEN_UP if problem else Delivery.State.SENT
    row.problem, row.ended_at, row.next_at = problem, now, now
    row.save()
    if not problem:
        health.worked(channel.pk, now)
        AlertChannel.objects.filter(pk=channel.pk).update(next_at=now)
    else:
        AlertChannel.objects.filter(pk=channel.pk).update(problem=problem)
    return problem


def _lease(now: datetime) -> list[_Work]:
    """Take the channels that have something to send, and decide what."""
    is_due = Q(next_at__lte=now) | Q(next_at__gt=now + backoff.AHEAD)
    due = Delivery.objects.filter(is_due, channel=OuterRef("pk"), state=Delivery.State.WAITING)
    free = AlertChannel.objects.filter(Exists(due), is_due, is_enabled=True)
    work, count = [], 0
    with transaction.atomic():
        ready = free.exclude(pk__in=sending.busy()).order_by("next_at", "pk")
        for channel in ready.select_for_update(skip_locked=True, no_key=True):
            if count >= MOST_IN_ALL:
                break
            waiting = _waiting(channel)
            count += len(waiting)
            rows = _planned(channel, waiting, now)
            if rows:
                work.append(_Work(channel, rows, [_message(row) for row in rows]))
            health.lease([channel.pk], now + LEASE if rows else now)
    return work


def _waiting(channel: AlertChannel) -> list[Delivery]:
    rows = Delivery.objects.filter(channel=channel, state=Delivery.State.WAITING)
    return list(rows.select_related("alert").order_by("id")[:MOST_ROWS])


def _planned(channel: AlertChannel, rows: list[Delivery], now: datetime) -> list[Delivery]:
    """Store the decisions about the waiting rows of a channel. Return the rows to send."""
    found = planning.plan(
        rows,
        begun=_begun(channel, rows),
        recent=_recent(channel, now),
        is_failing=channel.failing_since is not None,
        now=now,
    )
    _close(found.skip, Delivery.State.SKIPPED, "It was not needed any more.", now)
    _give_up(channel, found, now)
    if found.group:
        summary = Delivery.objects.create(
            channel=channel, event=Delivery.Event.SUMMARY, created_at=now, next_at=now
        )
        _close(found.group, Delivery.State.GROUPED, "", now, carried_by=summary)
        return [*found.send, summary]
    return found.send


def _begun(channel: AlertChannel, rows: Iterable[Delivery]) -> set[int]:
    """Return the ids of the alerts of these rows of which the channel was sent the beginning."""
    sent = Delivery.objects.filter(
        Q(state=Delivery.State.SENT)
        | Q(state=Delivery.State.GROUPED, carried_by__state=Delivery.State.SENT),
        channel=channel,
        event__in=_BEGINS,
        alert__in={row.alert_id for row in rows if row.event == Delivery.Event.END},
    )
    return set(sent.values_list("alert", flat=True))


def _recent(channel: AlertChannel, now: datetime) -> Recent:
    sent = Delivery.objects.filter(
        channel=channel, state=Delivery.State.SENT, ended_at__gt=now - planning.MINUTE
    ).exclude(event=Delivery.Event.TEST)
    events = list(sent.values_list("event", flat=True))
    return Recent(len(events), Delivery.Event.SUMMARY in events)


def _give_up(channel: AlertChannel, found: Plan, now: datetime) -> None:
    if not found.give_up:
        return
    hours = backoff.GIVEN_UP_AFTER.total_seconds() / 3600
    why = f"Given up after {hours:g} hours. {channel.problem}"[: sending.LONGEST]
    _close(found.give_up, Delivery.State.GIVEN_UP, why, now)


def _close(
    rows: Iterable[Delivery],
    state: Delivery.State,
    problem: str,
    now: datetime,
    carried_by: Delivery | None = None,
) -> None:
    ids = [row.pk for row in rows]
    if ids:
        Delivery.objects.filter(pk__in=ids).update(
            state=state, problem=problem, ended_at=now, carried_by=carried_by
        )


def _message(row: Delivery) -> Message:
    if row.event == Delivery.Event.SUMMARY:
        return texts.summary(row, Alert.objects.filter(deliveries__carried_by=row).distinct())
    if row.alert is None:  # a test that another process began: it is never left waiting
        raise AssertionError("only a summary or a test has no alert")
    notified = _notified(row.alert) if row.event == Delivery.Event.ESCALATION else []
    page = alerts.RUNBOOKS.get(row.alert.kind)
    return texts.of_alert(row, row.alert, page=page, notified=notified)


def _notified(alert: Alert) -> list[str]:
    """Return which channels were notified of an alert and when, a line each."""
    begins = Delivery.objects.filter(alert=alert, event=Delivery.Event.BEGIN)
    lines = []
    for row in begins.select_related("channel", "carried_by").order_by("id"):
        carrier = row.carried_by or row
        if carrier.state == Delivery.State.SENT:
            lines.append(f"{row.channel.name} at {texts.utc(carrier.ended_at)}")
        else:
            lines.append(f"{row.channel.name}: not accepted yet. {carrier.problem}".rstrip())
    return lines or ["no channel"]


def _record(row: Delivery, problem: str, now: datetime, jitter: Jitter) -> None:
    """Store the outcome of a try. A row that another process has ended stays as it is."""
    waiting = Delivery.objects.filter(pk=row.pk, state=Delivery.State.WAITING)
    tries = row.tries + 1
    if not problem:
        waiting.update(state=Delivery.State.SENT, tries=tries, problem="", ended_at=now)
        health.worked(row.channel_id, now)
        return
    next_at = now + backoff.message_wait(tries, jitter())
    waiting.update(tries=tries, problem=problem, next_at=next_at)
    health.failed(row.channel_id, now, problem, jitter())
