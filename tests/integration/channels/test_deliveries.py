"""Each channel is notified once of what begins and ends, also after an outage."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection

from aifeature.models import Alert, Delivery, Silence
from aifeature.models.functions import database_now
from aifeature.services.alerting import alerts, handling, outbox
from aifeature.services.channels import deliveries, later, register
from aifeature.services.channels.messages import Message
from aifeature.services.channels.register import Opened
from tests.integration.channels.conftest import World

BEGAN, OVER = "Alert: drift: windows", "Over: drift: windows"


def test_a_beginning_and_an_end_reach_each_first_line_channel_once(world: World) -> None:
    world.channel("one.example")
    world.channel("two.example")
    world.channel("late.example", is_escalation=True)
    world.alert()
    world.deliver()
    world.after(seconds=10)
    world.over()
    world.after(seconds=10)
    world.after(seconds=10)
    for host in ("one.example", "two.example"):
        assert world.titles(host) == [BEGAN, OVER]
    assert world.titles("late.example") == []


def test_a_channel_that_is_down_for_a_day_is_retried_given_up_and_reported(world: World) -> None:
    pager = world.channel("pager.example")
    world.channel("chat.example")
    world.down = {"pager.example"}
    world.alert()
    world.deliver()
    assert world.titles() == [BEGAN]
    for _ in range(16):
        world.after(minutes=1)
    down = Alert.objects.get(kind="channel_down")
    assert down.subject == "pager.example"
    assert "****" in down.summary
    assert "secret-path" not in down.summary + Delivery.objects.exclude(problem="")[0].problem
    alerts.notify()
    world.after(minutes=1)
    assert world.titles("chat.example")[-1] == "Alert: channel down: pager.example"
    assert world.tried.count("pager.example") < 20
    for _ in range(24):
        world.after(hours=1)
    assert world.states(channel=pager) == [("begin", "given_up")]
    world.down = set()
    world.after(minutes=20)
    assert world.titles("pager.example") == []  # nothing is left to send
    assert deliveries.send_test(pager, using=world.send) == ""
    pager.refresh_from_db()
    assert (pager.failing_since, pager.problem) == (None, "")
    assert not Alert.objects.filter(kind="channel_down", closed_at=None).exists()


def test_an_alert_that_is_over_wakes_no_one(world: World) -> None:
    """A channel that comes back gets one summary of what it missed, and what is still open."""
    world.channel("pager.example")
    world.down = {"pager.example"}
    world.alert("first")
    world.deliver()
    world.alert("second")
    world.after(minutes=2)
    world.over("first")
    world.down = set()
    for _ in range(6):
        world.after(minutes=1)
    assert sorted(world.titles()) == [
        "1 alerts began and ended before this channel could be notified",
        "Alert: drift: second",
    ]


def test_a_storm_is_one_summary(world: World) -> None:
    world.channel("pager.example")
    for number in range(30):
        alerts.begin("drift", f"window {number}", "Off.")
    alerts.notify()
    world.deliver()
    world.after(seconds=10)
    assert world.titles() == ["30 alerts, 30 of them open"]
    assert len(world.messages[0].data["alerts"]) == 30
    world.alert("later")
    world.after(seconds=10)
    assert world.titles()[1:] == ["Alert: drift: later"]
    for number in range(30):
        alerts.end("drift", f"window {number}")
    alerts.notify()
    world.after(seconds=10)
    assert len(world.titles()) == 2  # one summary in a minute
    world.after(seconds=60)
    assert world.titles()[2:] == ["30 alerts began and ended before this channel could be notified"]


def test_channels_with_many_messages_take_turns(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MOST_IN_ALL", 2)
    for name in ("one.example", "two.example"):
        world.channel(name)
    for number in range(7):
        world.alert(f"window {number}")
    world.deliver()
    assert len(world.titles()) == 1
    world.after(seconds=10)
    assert [host for host, _ in world.sent] == ["one.example", "two.example"]


def test_a_message_that_the_receiver_refuses_does_not_block_others(world: World) -> None:
    world.channel("pager.example")
    world.alert("poison")
    sound = world.send

    def send(opened: Opened, message: Message) -> None:
        world.down = {"pager.example"} if "poison" in message.title else set()
        sound(opened, message)

    world.deliver(using=send)
    world.alert("sound")
    world.now += timedelta(minutes=1)
    world.deliver(using=send)
    assert world.titles() == ["Alert: drift: sound"]


def test_a_message_that_was_sent_and_not_marked_is_sent_again_with_its_id(world: World) -> None:
    world.channel("pager.example")
    world.alert()

    times = iter([world.now])  # the process dies when it reads the time of the outcome
    with pytest.raises(StopIteration):
        deliveries.deliver(lambda: next(times), using=world.send)
    assert world.states() == [("begin", "waiting")]
    assert world.after(seconds=30).sent == 0  # the lease
    world.after(seconds=60)
    assert world.titles() == [BEGAN, BEGAN]
    assert len({message.id for message in world.messages}) == 1


def test_a_silence_holds_an_alert_back_until_it_ends(world: World) -> None:
    world.channel("pager.example")
    alert = world.alert()
    world.deliver()
    until = world.now + timedelta(hours=1)
    handling.silence(alert.pk, until, reason="Maintenance.", user_id=world.boss.pk)
    world.over()
    again = world.alert()
    settled = world.alert("other")
    handling.silence(settled.pk, until, reason="Maintenance.", user_id=world.boss.pk)
    world.after(minutes=30)
    assert world.titles() == [BEGAN, "Alert: drift: other"]
    world.after(minutes=31)
    assert sorted(world.titles()[2:]) == [BEGAN, OVER]
    assert again.pk != alert.pk


def test_a_silence_that_lasts_holds_no_other_alert_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(later, "BATCH", 1)
    world.channel("pager.example")
    for subject, hours in (("long", 9), ("short", 1)):
        until = world.now + timedelta(hours=hours)
        Silence.objects.create(kind="drift", subject=subject, until=until, reason="Known.")
        world.alert(subject)
    world.after(hours=2)
    assert world.titles() == ["Alert: drift: short"]


def test_a_clock_that_was_ahead_delays_nothing(world: World) -> None:
    world.channel("pager.example")
    world.down = {"pager.example"}
    world.alert()
    world.now += timedelta(hours=9)
    world.deliver()
    world.now -= timedelta(hours=9)
    world.down = set()
    assert world.after(minutes=1).sent == 1


def test_old_deliveries_are_deleted_and_those_of_open_alerts_are_kept(world: World) -> None:
    world.channel("pager.example")
    for number in range(7):
        world.alert(f"window {number}")
    world.deliver()
    world.over("window 0")
    world.after(minutes=2)
    old = database_now() - timedelta(days=181)
    Delivery.objects.update(ended_at=old)
    Alert.objects.exclude(closed_at=None).update(closed_at=old)
    assert outbox.prune() == 2  # the beginning and the end
    assert world.states(event="summary") == [("summary", "sent")]
    Alert.objects.update(closed_at=old)
    assert outbox.prune() == 7
    assert not Delivery.objects.exists()


def test_a_silenced_alert_that_was_acknowledged_is_not_sent_afterwards(world: World) -> None:
    world.channel("pager.example")
    first = world.alert()
    made = handling.silence(
        first.pk, world.now + timedelta(hours=1), reason="Known.", user_id=world.boss.pk
    )
    world.over()
    second = world.alert()
    handling.acknowledge(second.pk, user_id=world.boss.pk)
    assert handling.lift(made.pk, reason="Enough.", user_id=world.boss.pk)
    world.after(minutes=1)
    assert world.states(alert=second) == [("begin", "skipped")]


def test_an_alert_that_is_not_acknowledged_is_escalated_once(world: World) -> None:
    world.channel("chat.example")
    world.channel("boss.example", is_escalation=True)
    world.alert("seen")
    world.alert("unseen")
    world.deliver()
    world.after(minutes=13)
    assert world.titles("boss.example") == []
    handling.acknowledge(Alert.objects.get(subject="seen").pk, user_id=world.boss.pk)
    world.after(minutes=3)
    world.after(minutes=3)
    assert world.titles("boss.example") == ["Nobody acknowledged: drift: unseen"]
    assert any("chat.example at 20" in line for line in world.messages[-1].lines)
    world.over("unseen")
    world.after(minutes=1)
    assert world.titles("boss.example")[-1] == "Over: drift: unseen"


def test_a_silence_delays_the_escalation(world: World) -> None:
    world.channel("boss.example", is_escalation=True)
    alert = world.alert()
    handling.silence(
        alert.pk, world.now + timedelta(minutes=20), reason="Known.", user_id=world.boss.pk
    )
    world.after(minutes=25)
    assert world.titles() == []
    world.after(minutes=15)
    assert world.titles() == ["Nobody acknowledged: drift: windows"]


def test_a_disabled_channel_is_sent_nothing(world: World) -> None:
    channel = world.channel("pager.example")
    world.alert()
    register.change(
        channel.pk,
        name="pager.example",
        is_enabled=False,
        is_escalation=False,
        reason="Moved.",
        user_id=world.boss.pk,
    )
    world.alert("another")
    world.deliver()
    assert world.states() == [("begin", "skipped")]
    assert world.tried == []


@pytest.mark.django_db(transaction=True)
def test_two_workers_send_once(boss: User) -> None:
    world = World(boss, database_now() + timedelta(seconds=1))
    world.channel("pager.example")
    world.alert()
    inside, go_on = threading.Event(), threading.Event()

    def slow(opened: Opened, message: Message) -> None:
        inside.set()
        assert go_on.wait(10)
        world.send(opened, message)

    def work() -> None:
        try:
            world.deliver(using=slow)
        finally:
            connection.close()

    first = threading.Thread(target=work)
    first.start()
    assert inside.wait(10)
    try:
        assert world.deliver().sent == 0
    finally:
        go_on.set()
        first.join()
    assert world.titles() == [BEGAN]
