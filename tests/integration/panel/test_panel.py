"""The control panel of the local stack: each button has its effect, for staff only."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from aifeature import prompts, registry
from aifeature.models import Alert, ControlChange, Job, SpendWindow
from aifeature.services import controls
from aifeature.services.controls import effective
from aifeature.services.promotion import activations, subjects
from aifeature.services.provider import factory
from project.panel import actions, provider
from tests import proof
from tests.integration.conftest import AMPLE_RATES
from tests.integration.execution.test_gated import HAIKU
from tests.integration.execution.test_job_run import run
from tests.integration.job_rows import database_time
from tests.sandbox_server import SandboxServer
from workers import tasks
from workers.inference.breaker import BreakerPolicy

pytestmark = pytest.mark.usefixtures("opened", "sandbox")

PANEL = "/panel/"


@pytest.fixture
def staff(client: Client, db: None) -> Client:
    for slug in registry.all_features():
        proof.open_to_users(slug)
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
    assert set(Job.objects.values_list("feature", flat=True)) == set(registry.offered())


def test_a_broken_provider_opens_the_breaker_after_any_number_of_successes(
    staff: Client, committed: None
) -> None:
    gate = factory.gate()
    for _ in range(BreakerPolicy().size):
        gate.admit(model=HAIKU, input_tokens=1, output_tokens=1).succeeded(None, {}, 1)
    assert f"{actions.FAILING} requests accepted." in press(staff, "break")
    for job in Job.objects.all():
        if gate.breaker(HAIKU).state == "closed":
            run(job)
    assert gate.breaker(HAIKU).state == "open"
    assert f"of {BreakerPolicy().size} calls failed" in staff.get(PANEL).text


def test_an_attack_is_refused_by_the_shipped_rate_of_its_user(staff: Client) -> None:
    feature = registry.get("summarize")
    values = dict.fromkeys(AMPLE_RATES)  # the code's own rates
    effective.change(feature.slug, values, reason="test", check_name="test")
    page = press(staff, "attack")
    accepted = Job.objects.count()
    rate = feature.limits.requests_per_minute
    assert rate is not None
    assert accepted == pytest.approx(float(rate), abs=3), "some return while others are sent"
    refused = actions.RATES * int(rate) - accepted
    assert refused > accepted
    assert f"{accepted} requests accepted, {refused} refused (rate_limited)." in page
    assert f"{rate} requests a minute, {feature.limits.user_in_flight} calls at once." in page
    longest = max(len(str(job.input)) for job in Job.objects.all())
    assert longest > 10_000


def test_a_worse_prompt_and_a_used_up_budget_are_repaired(staff: Client) -> None:
    feature = registry.get("summarize")
    assert "no earlier prompt with evidence" in press(staff, "worsen")
    for version in prompts.versions(feature.slug):
        of_today = subjects.of(feature, version).fingerprint
        proof.evidence(feature.slug, version, fingerprint=of_today)
    assert "The active prompt of summarize is v1 now" in press(staff, "worsen")
    assert controls.live_version(feature) == controls.prompt_version(feature) == "v1"
    SpendWindow.objects.create(
        scope="feature", key=feature.slug, day=database_time().date(), spent_micro=19_999
    )
    press(staff, "spend")
    assert controls.caps(feature).feature == 10_000
    assert f"{actions.CROWD} refused (budget_reached)" in press(staff, "crowd")
    page = staff.get(PANEL).text
    assert page.count("100% of the budget used") == len(registry.offered())
    assert registry.get("judge").title not in page, "it is internal"
    tasks.check_budgets()
    reached = Alert.objects.filter(kind="budget_reached").values_list("subject", flat=True)
    assert set(reached) == {f"{slug} day" for slug in registry.offered()}
    press(staff, "repair")
    assert controls.live_version(feature) == feature.prompt_version
    assert controls.caps(feature).feature == 110_000_000
    of_v2 = {
        **proof.of_today(feature.slug, "v2"),
        "live_hash": prompts.get(feature.slug, "v1").hash,
    }
    proof.evidence(feature.slug, "v2", **of_v2)
    proof.evidence(feature.slug, **proof.of_today(feature.slug), passed=False)
    press(staff, "worsen")
    press(staff, "repair")
    assert controls.live_version(feature) == "v2", "v3 became worse, and v1 is older"
    changes = ControlChange.objects.filter(reason=actions.REASON)
    assert {change.user.get_username() for change in changes if change.user} == {"sam"}


def test_a_repair_leaves_prompts_that_the_panel_did_not_change(staff: Client) -> None:
    """Another live prompt would end a canary."""
    proof.evidence("summarize", "v1", **proof.of_today("summarize", "v1"))
    feature = registry.get("summarize")
    activations.roll_back(feature.slug, reason="Users complain.", check_name="test")
    proof.evidence("summarize", **proof.of_today("summarize"))
    press(staff, "repair")
    assert controls.live_version(feature) == "v1"


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
