"""A world of channels: alerts, a clock that the test moves, and a record of what was sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from aifeature.models import Alert, AlertChannel, Delivery
from aifeature.models.functions import database_now
from aifeature.services.alerting import alerts
from aifeature.services.channels import deliveries, health, later, register
from aifeature.services.channels.deliveries import Delivered
from aifeature.services.channels.messages import Message
from aifeature.services.channels.problems import SendError
from aifeature.services.channels.register import Opened


@dataclass
class World:
    """Sends into a list instead of the network. `down` has the channels that fail."""

    boss: User
    now: datetime
    sent: list[tuple[str, str]] = field(default_factory=list)
    """Host of the channel and title of the message."""
    messages: list[Message] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    """Hosts of all tries."""
    down: set[str] = field(default_factory=set)

    def channel(self, name: str, *, is_escalation: bool = False) -> AlertChannel:
        channel, _ = register.add(
            name=name,
            kind="webhook",
            address=f"https://{name}/secret-path",
            is_escalation=is_escalation,
            reason="On-call uses it.",
            user_id=self.boss.pk,
        )
        return channel

    def alert(self, subject: str = "windows", kind: str = "drift") -> Alert:
        alerts.begin(kind, subject, "Something is off.")
        alerts.notify()
        return Alert.objects.get(kind=kind, subject=subject, closed_at=None)

    def over(self, subject: str = "windows", kind: str = "drift") -> None:
        alerts.end(kind, subject)
        alerts.notify()

    def after(self, **span: float) -> Delivered:
        """Let time pass, then run the task."""
        self.now += timedelta(**span)
        later.release(self.now)
        later.escalate(self.now)
        found = self.deliver()
        health.report_down(self.now)
        return found

    def deliver(self, using: Any = None) -> Delivered:
        return deliveries.deliver(lambda: self.now, using=using or self.send, jitter=lambda: 0.0)

    def titles(self, host: str = "") -> list[str]:
        return [title for name, title in self.sent if host in {"", name}]

    def states(self, **which: Any) -> list[tuple[str, str]]:
        rows = Delivery.objects.filter(**which).order_by("id")
        return list(rows.values_list("event", "state"))

    def send(self, opened: Opened, message: Message) -> None:
        host = opened.address.split("/")[2]
        self.tried.append(host)
        if host in self.down:
            raise SendError(f"no route to {opened.address} with {opened.secret}")
        self.sent.append((host, message.title))
        self.messages.append(message)


@pytest.fixture
def world(db: None, boss: User) -> World:
    # A second later than the rows that this test writes by the database's clock.
    return World(boss, database_now() + timedelta(seconds=1))


@pytest.fixture
def boss(db: None) -> User:
    return User.objects.create_user("boss", is_staff=True)
