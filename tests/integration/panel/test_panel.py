"""The control panel of the local stack: each button has its effect, for staff only."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from aifeature import registry
from aifeature.models import ControlChange, Job
from aifeature.services import controls
from aifeature.services.controls import effective
from project.panel import actions, provider
from tests.sandbox_server import SandboxServer

pytestmark = pytest.mark.usefixtures("opened", "sandbox")

PANEL = "/panel/"


@pytest.fixture
def staff(client: Client, db: None) -> Client:
    for slug in registry.all_features():
        effective.change(slug, {"stage": "everyone"}, reason="test", check_name="test")
    client.force_login(User.objects.create_user("sam", is_staff=True, email="sam@demo.invalid"))
    return client


def press(client: Client, slug: str) -> str:
    response = client.post(f"{PANEL}{slug}/", follow=True)
    assert response.status_code == 200
    return response.text


@pytest.mark.parametrize(
    ("slug", "kind"),
    [("break", "api_error"), ("slow", "slow_first_byte"), ("garble", "malformed_output")],
)
def test_a_fault_is_set_shown_and_repaired(staff: Client, slug: str, kind: str) -> None:
    page = press(staff, slug)
    assert [rule["kind"] for rule in provider.faults()] == [kind]
    assert kind.replace("_", " ") in page
    assert "none: it answers" in press(staff, "repair")
    assert provider.faults() == []


def test_a_crowd_sends_as_all_demo_users(staff: Client) -> None:
    User.objects.create_user("demo", email="demo@demo.invalid")
    User.objects.create_user("real", email="real@example.com")
    assert f"{actions.CROWD} requests accepted." in press(staff, "crowd")
    assert Job.objects.count() == actions.CROWD
    assert set(Job.objects.values_list("user__username", flat=True)) == {"sam", "demo"}
    assert set(Job.objects.values_list("feature", flat=True)) == set(registry.all_features())


def test_an_attack_is_refused_by_the_rate_of_its_user(staff: Client) -> None:
    for slug in registry.all_features():
        values = {"requests_per_minute": 5}
        effective.change(slug, values, reason="test", check_name="test")
    accepted = 5 * len(registry.all_features())
    refused = f"{actions.CROWD - accepted} refused (rate_limited)"
    assert f"{accepted} requests accepted, {refused}." in press(staff, "attack")
    longest = max(len(str(job.input)) for job in Job.objects.all())
    assert longest > 10_000


def test_a_worse_prompt_and_a_used_up_budget_are_repaired(staff: Client) -> None:
    feature = registry.get("summarize")
    press(staff, "worsen")
    assert controls.prompt_version(feature) == "v1"
    press(staff, "spend")
    assert controls.caps(feature).feature == 10_000
    press(staff, "repair")
    assert controls.prompt_version(feature) == feature.prompt_version
    assert controls.caps(feature).feature == 100_000_000
    changes = ControlChange.objects.filter(reason=actions.REASON)
    assert {change.user.get_username() for change in changes if change.user} == {"sam"}


def test_the_live_part_is_only_a_part(staff: Client) -> None:
    part = staff.get(f"{PANEL}?part").text
    assert "<html" not in part
    assert "claude-haiku-5-5" in part


def test_users_and_strangers_have_no_panel(client: Client, ada: User) -> None:
    assert client.get(PANEL).status_code == 302
    client.force_login(ada)
    assert client.get(PANEL).status_code == 404
    assert client.post(f"{PANEL}break/").status_code == 404
    assert PANEL not in client.get("/").text


def test_an_unknown_button_is_not_found(staff: Client) -> None:
    assert staff.post(f"{PANEL}explode/").status_code == 404
    assert staff.get(f"{PANEL}break/").status_code == 405


def test_a_provider_that_is_away_is_named(
    staff: Client, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = {**settings.AIFEATURE, "BASE_URL": "http://127.0.0.1:1"}
    monkeypatch.setattr(settings, "AIFEATURE", away)
    assert "The sandbox provider does not answer (ConnectError)" in press(staff, "break")
