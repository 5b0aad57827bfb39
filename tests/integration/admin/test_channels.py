"""Channels are added, tested and deleted in admin. Their addresses and secrets are not shown."""

from __future__ import annotations

import re
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from aifeature.models import (
    Alert,
    AlertChannel,
    ControlChange,
    Delivery,
    HealthReading,
    Silence,
)
from aifeature.services.alerting import alerts
from aifeature.services.channels import register
from tests.integration.admin.conftest import Staff
from tests.integration.channels.receiver import http_receiver

ALERTS = "/admin/aifeature/alert/"
CHANNELS = "/admin/aifeature/alertchannel/"
SECRET = "a-secret-part"
NEW = {
    "name": "pager",
    "kind": "webhook",
    "new_address": f"https://hooks.example/{SECRET}",
    "reason": "On-call uses it.",
}


def press(page: Client, model: str, name: str, row: Any, **values: Any) -> Any:
    """Submit the dialog of a button, and follow to the page that it opens."""
    url = reverse(f"admin:aifeature_{model}_{name}", args=(row.pk,))
    return page.post(url, {"_form_submitted": "on", **values}, follow=True)


def test_a_channel_shows_its_secret_once_and_its_address_never(page: Client, db: None) -> None:
    bad = page.post(f"{CHANNELS}add/", {**NEW, "new_address": "hooks.example"})
    assert "A webhook begins with https://" in bad.text
    assert not AlertChannel.objects.exists()
    saved = page.post(f"{CHANNELS}add/", NEW, follow=True)
    assert re.search(r"shown only once: whsec_[\w+/=]{40,}", saved.text)
    channel = AlertChannel.objects.get()
    for address in (
        CHANNELS,
        f"{CHANNELS}{channel.pk}/change/",
        f"{CHANNELS}{channel.pk}/history/",
    ):
        seen = page.get(address).text
        assert SECRET not in seen
        assert "whsec_" not in seen
    assert "https://hooks.example" in page.get(CHANNELS).text
    change = ControlChange.objects.get()
    assert (change.new, change.reason) == ("pager: webhook, first line, enabled", NEW["reason"])
    kept = {"name": "pager", "is_escalation": "on", "reason": "Only as a last resort."}
    page.post(f"{CHANNELS}{channel.pk}/change/", kept)
    channel.refresh_from_db()
    assert (channel.is_enabled, channel.is_escalation) == (False, True)
    assert register.opened(channel).address == NEW["new_address"]
    press(page, "alertchannel", "delete_channel", channel, reason="Gone.")
    assert not AlertChannel.objects.exists()


def test_a_test_shows_its_result_at_once(page: Client, boss: User) -> None:
    with http_receiver() as receiver:
        channel, _ = register.add(
            name="hook",
            kind="webhook",
            address=f"http://127.0.0.1:{receiver.port}/{SECRET}",
            is_escalation=False,
            reason="r",
            user_id=boss.pk,
        )
        assert "accepted the test" in press(page, "alertchannel", "test", channel).text
        receiver.status = 500
        failed = press(page, "alertchannel", "test", channel).text
    assert "answered with status 500" in failed
    assert page.get(CHANNELS).text.count("test failed") == 1  # also after the message is gone
    assert SECRET not in failed
    assert list(Delivery.objects.order_by("id").values_list("event", "state")) == [
        ("test", "sent"),
        ("test", "given_up"),
    ]


def test_an_alert_is_acknowledged_assigned_and_silenced(page: Client, boss: User) -> None:
    alerts.begin("drift", "global", "Off.")
    alert = Alert.objects.get()
    url = f"{ALERTS}{alert.pk}"
    assert "nobody" in page.get(f"{url}/change/").text
    press(page, "alert", "acknowledge", alert, reason="")
    press(page, "alert", "assign", alert, to=boss.pk, reason="It is theirs.")
    late = {"lasts": "until", "until_0": "2099-01-01", "until_1": "00:00", "reason": "r"}
    assert "7 days at most" in press(page, "alert", "silence", alert, **late).text
    assert "required" in press(page, "alert", "silence", alert, lasts="4", reason="").text
    assert not Silence.objects.exists()
    press(page, "alert", "silence", alert, lasts="4", reason="Maintenance.")
    seen = page.get(f"{url}/change/").text
    for part in ("Nothing is sent until", "Maintenance.", "Lift the silence", "It is theirs."):
        assert part in seen
    for place in ("/admin/", "/dashboard/"):
        assert "acknowledged by boss, assigned to boss, silenced" in page.get(place).text
    press(page, "alert", "lift", alert, reason="Done.")
    assert Silence.objects.get().lifted_at
    fields = ControlChange.objects.order_by("id").values_list("field", flat=True)
    assert list(fields) == ["acknowledged", "assigned", "silenced", "silenced"]


def test_an_open_alert_shows_the_value_of_now_beside_the_first_one(page: Client, db: None) -> None:
    alerts.begin("errors_high", "summarize", "It was 3 %.", {"number": "errors"})
    now, figures = timezone.now(), {"value": 0.0413, "unit": "share"}
    HealthReading.objects.create(
        feature="summarize",
        number="errors",
        level="red",
        since=now,
        measured_at=now,
        figures=figures,
    )
    for place in ("/admin/", "/dashboard/"):
        assert "now 4.1 %" in page.get(place).text


def test_several_alerts_are_acknowledged_from_the_list(staff: Staff) -> None:
    for subject in ("one", "two", "three"):
        alerts.begin("drift", subject, "Off.")
    alerts.end("drift", "three")
    chosen = {
        "action": "acknowledge_selected",
        "_selected_action": [str(pk) for pk in Alert.objects.values_list("pk", flat=True)],
    }
    staff("view_alert").post(ALERTS, chosen)
    assert not Alert.objects.exclude(acknowledged_at=None).exists()
    text = staff("view_alert", "handle_alert").post(ALERTS, chosen, follow=True).text
    assert "2 alerts are acknowledged." in text
    assert Alert.objects.exclude(acknowledged_at=None).count() == 2


def test_buttons_need_their_permission(staff: Staff) -> None:
    alerts.begin("drift", "global", "Off.")
    page = f"{ALERTS}{Alert.objects.get().pk}/change/"
    assert "Acknowledge</a>" not in staff("view_alert").get(page).text
    assert "Acknowledge</a>" in staff("view_alert", "handle_alert").get(page).text
