"""Admin's pages about access: invited groups, blocks, and why a user sees a feature."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from aifeature.models import AccessBlock, ControlChange, FeatureControl, Stage
from aifeature.services import access, controls
from project.env import FeatureFlags
from tests import proof
from tests.integration.admin.conftest import Staff
from tests.integration.admin.test_features import DETAIL, save, trail

pytestmark = pytest.mark.slow

BLOCKS = "/admin/aifeature/accessblock/"


def test_invited_groups_places_and_hold_out_are_audited(page: Client) -> None:
    group = Group.objects.create(name="pilots")
    values: dict[str, Any] = {"beta_groups": [group.pk], "beta_cap": "5", "holdout_percent": "10"}
    assert save(page, **values, reason="Pilot.").status_code == 302
    assert sorted(trail()) == [
        ("beta_cap", "0", "5"),
        ("beta_groups", "0 groups", f"1 groups (+#{group.pk})"),
        ("holdout_percent", "0", "10"),
    ]
    assert "1 groups (+pilots)" in page.get(DETAIL).text
    response = save(page, holdout_percent="51", reason="More.")
    assert "holdout_percent" in response.context["adminform"].form.errors


def test_a_group_is_invited_only_with_evidence(page: Client, db: None) -> None:
    proof.activate("summarize")
    assert save(page, stage="beta", reason="Open.").status_code == 302
    proof.evidence("summarize", fresh_until=datetime(2026, 1, 1, tzinfo=UTC))
    group = Group.objects.create(name="pilots")
    response = save(page, beta_groups=[group.pk], reason="Pilot.")
    assert "too old" in str(response.context["adminform"].form.errors)
    assert not FeatureControl.objects.get(feature="summarize").beta_groups.exists()


def block(customer: User, **changes: str) -> dict[str, Any]:
    return {
        "user": customer.pk,
        "feature": "summarize",
        "message": access.blocks.DEFAULT_MESSAGE,
        "reason": "Abuse.",
        "expires_at_0": "2099-12-31",
        "expires_at_1": "12:00:00",
        **changes,
    }


def test_a_block_is_made_with_a_reason_and_lifted_with_one(
    page: Client, boss: User, customer: User, staff: Staff
) -> None:
    form = page.get(f"{BLOCKS}add/?user={customer.pk}&feature=summarize").context["adminform"].form
    assert (form["user"].value(), form["feature"].value()) == (str(customer.pk), "summarize")
    assert form["message"].value() == access.blocks.DEFAULT_MESSAGE
    assert page.post(f"{BLOCKS}add/", block(customer, reason=" ")).status_code == 200
    past = page.post(f"{BLOCKS}add/", block(customer, expires_at_0="2020-01-01"))
    assert "This time is over" in past.text
    assert not AccessBlock.objects.exists()
    assert page.post(f"{BLOCKS}add/", block(customer)).status_code == 302
    row = AccessBlock.objects.get()
    assert (row.user, row.feature, row.created_by) == (customer, "summarize", boss)
    for part in ("customer", "with a message", "Abuse.", "boss"):
        assert part in page.get(BLOCKS).text
    lift = f"{BLOCKS}{row.pk}/lift/"
    assert page.post(lift, {"_form_submitted": "on", "reason": ""}).status_code == 200
    assert AccessBlock.objects.exists()
    page.post(lift, {"_form_submitted": "on", "reason": "A mistake."})
    assert not AccessBlock.objects.exists()
    reasons = ControlChange.objects.filter(field="access_block").order_by("id")
    assert [change.reason for change in reasons] == ["Abuse.", "A mistake."]
    words = "customer: blocked until 2099-12-31 12:00 UTC, with a message"
    assert words in page.get(DETAIL).text
    assert "Abuse." not in staff("view_featurecontrol").get(DETAIL).text


def test_only_who_may_see_users_reads_why_one_sees_a_feature(
    staff: Staff, customer: User, opened: None
) -> None:
    address = f"{DETAIL}?who={customer.username}"
    viewer = staff("view_featurecontrol", "view_user")
    assert "customer sees this feature." in viewer.get(address).text
    assert "Block the user" not in viewer.get(address).text
    blocker = staff("view_featurecontrol", "view_user", "add_accessblock")
    link = f"{BLOCKS}add/?user={customer.pk}&amp;feature=summarize"
    assert link in blocker.get(address).text
    assert "Would this user see it" not in staff("view_featurecontrol").get(address).text


def test_the_page_shows_that_the_environment_narrows_the_stage(
    page: Client, customer: User, opened: None, settings: Any
) -> None:
    assert "Narrowed by the environment" not in page.get(DETAIL).text
    given = {"summarize": FeatureFlags(staff_only=True)}
    settings.AIFEATURE = {**settings.AIFEATURE, "FEATURE_FLAGS": given}
    text = page.get(DETAIL, {"who": "customer"}).text
    assert "AI_FEATURE_SUMMARIZE_STAFF_ONLY=true is set" in text
    assert "The environment restricts it to staff." in text
    assert controls.cache.cache.get("summarize").stage == Stage.EVERYONE
