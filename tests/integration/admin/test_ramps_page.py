"""The card of a ramp, its dialogs, and the blast radius in every dialog."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client

from aifeature.models import (
    Activation,
    FeatureControl,
    KillMode,
    Launch,
    Ramp,
    RateOverride,
)
from aifeature.services.controls import switch
from aifeature.services.promotion import activations
from aifeature.services.rollout import check, ramps
from tests import canary_rows, proof
from tests.integration.admin.conftest import Staff
from tests.readings import plant

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("live_prompt")]

ADMIN = "/admin/aifeature"
DETAIL = f"{ADMIN}/featurecontrol/summarize/change/"
START, STOP, RESUME = (
    f"{ADMIN}/featurecontrol/summarize/{action}_ramp/" for action in ("start", "stop", "resume")
)


def send(page: Client, address: str, **values: Any) -> Any:
    """Open a dialog, and send what it shows with these values."""
    form = page.get(address).context["form"]
    shown = {name: form[name].value() for name in form.fields}
    return page.post(address, {**shown, **values})


def test_a_ramp_is_started_held_and_stopped_on_the_page(page: Client, boss: User) -> None:
    User.objects.create_user("ada")
    text = page.get(START).text
    assert "<dd>2 of 2 users, spend unknown</dd>" in text, "of the last usual step"
    assert send(page, START, reason="Launch.").status_code == 302
    ramp = Ramp.objects.get()
    assert (ramp.steps, ramp.hours_per_step, ramp.created_by) == ([5, 10, 25, 100], 24, boss)
    plant(errors="amber")
    check.check()
    text = page.get(DETAIL).text
    for part in ("Errors: amber", "Held", "when the hold ends", "0 ms of 24 h", "Launch."):
        assert part in text
    assert "Stop ramp" in text
    assert "Start ramp" not in text
    plant(errors="red")
    check.check()
    assert "Stepped back. Find the cause" in page.get(DETAIL).text
    assert "Errors: red" in page.get(RESUME).text
    assert send(page, RESUME, reason="Fixed.").status_code == 302
    assert send(page, STOP, reason="Enough.").status_code == 302
    assert "stopped at 5 %" in page.get(DETAIL).text
    assert FeatureControl.objects.get(feature="summarize").percent == 5


def test_other_steps_are_started_only_after_their_blast_radius_was_shown(page: Client) -> None:
    asked = send(page, START, steps="20, 40", reason="Faster.")
    assert "Nothing was started yet." in asked.text
    assert "<dt>20 %</dt>" in asked.text
    assert not Ramp.objects.exists()
    form = asked.context["form"]
    again = {name: form[name].value() for name in form.fields}
    assert page.post(START, again).status_code == 302
    assert Ramp.objects.get().steps == [20, 40]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"steps": "25, 10"}, "Each step must be above the one before."),
        ({"steps": "5; ten"}, "Enter percentages, such as 5, 10, 25, 100."),
        ({"steps": ""}, "This field is required."),
        ({"hours": "721"}, "less than or equal to 720"),
        ({"reason": " "}, "This field is required."),
    ],
)
def test_a_wrong_ramp_keeps_what_was_typed(
    page: Client, values: dict[str, str], words: str
) -> None:
    answer = send(page, START, **{"reason": "Mine.", **values})
    assert (answer.status_code, words in answer.text) == (200, True)
    assert not Ramp.objects.exists()


def test_buttons_need_the_permission_and_a_ramp(staff: Staff, page: Client, boss: User) -> None:
    assert send(page, STOP, reason="r").status_code == 200, "there is none"
    ramps.start("summarize", steps=[5], hours_per_step=1, reason="r", user_id=boss.pk)
    viewer = staff("view_featurecontrol")
    text = viewer.get(DETAIL).text
    assert "Healthy time" in text
    assert "Stop ramp" not in text
    assert "Last moves" not in text, "they are rows of the audit log"
    assert {viewer.post(each).status_code for each in (START, STOP, RESUME)} == {403}
    for slug in ("moderation", "nothing"):
        address = f"{ADMIN}/featurecontrol/{slug}/start_ramp/"
        assert page.get(address).status_code == 404


def test_every_dialog_that_changes_who_is_served_shows_its_blast_radius(
    page: Client, boss: User
) -> None:
    control = f"{ADMIN}/featurecontrol/summarize"
    canary = canary_rows.started(boss)
    proof.evidence("summarize", "v1")
    switch.stop("summarize", reason="r", mode=KillMode.HOLD, user_id=boss.pk)
    activations.request_override("summarize", "v1", hours=1, reason="r", user_id=boss.pk)
    override = RateOverride.objects.create(user=boss, requests_per_minute=5, reason="r")
    launch = Launch.objects.create(
        feature="summarize", starts_at=Now(), ends_at=Now() + timedelta(1), factor=2, note="n"
    )
    assert Activation.objects.filter(kind=Activation.Kind.REQUESTED).exists()
    actions = ("stop", "release", "activate", "roll_back", "override", "approve", "end_override")
    for address in (
        *(f"{control}/{action}/" for action in actions),
        f"{ADMIN}/featurecontrol/_5Feverything/stop/",
        f"{ADMIN}/rateoverride/{override.pk}/lift/",
        f"{ADMIN}/launch/{launch.pk}/withdraw/",
        f"{ADMIN}/canary/summarize/start/",
        *(f"{ADMIN}/canary/{canary.pk}/{action}/" for action in ("share", "promote", "stop")),
    ):
        text = page.get(address).text
        assert "Blast radius" in text, address
        assert "0 jobs wait, 0 run." in text, address
