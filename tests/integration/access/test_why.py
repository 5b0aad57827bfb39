"""Would this user see the feature, and why: on the page, and with a command."""

from __future__ import annotations

import io
from datetime import datetime

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import CommandError, call_command
from django.test import Client

from aifeature import registry
from aifeature.models import AccessBlock, BetaMember, ControlChange, FeatureControl, Stage
from aifeature.services import access, controls
from aifeature.services.texts import references
from aifeature.spec import Feature
from tests import proof
from tests.integration.access.conftest import Narrow, put
from tests.integration.api import api_jobs

pytestmark = pytest.mark.slow

PAGE = "/admin/aifeature/featurecontrol/summarize/change/"


def since(field: str) -> datetime:
    return ControlChange.objects.filter(field=field).latest("id").at


def test_each_rule_is_explained_with_its_time(
    summarize: Feature, ada: User, boss: User, narrow: Narrow
) -> None:
    def told(user: User = ada) -> tuple[bool, str, datetime | None]:
        found = access.explain(summarize, user)
        assert found.visible == access.is_visible(summarize, user)
        assert found.sentence.endswith(".")
        return found.visible, found.rule, found.since

    put(stage=Stage.STAFF)
    assert told() == (False, "at_staff", since("stage"))
    assert told(boss) == (True, "staff", None)
    control = put(stage=Stage.PERCENT, percent=0)
    assert told() == (False, "outside_percent", since("stage"))
    put(percent=100)
    assert told() == (True, "in_percent", since("percent"))
    assert "below 100" in access.explain(summarize, ada).sentence
    put(stage=Stage.BETA)
    assert told() == (False, "not_invited", since("stage"))
    group = Group.objects.create(name="pilots")
    group.user_set.add(ada)
    control.beta_groups.add(group)
    assert told() == (True, "member", None)
    assert "A group of the user" in access.explain(summarize, ada).sentence
    joined = BetaMember.objects.create(feature="summarize", user=ada)
    joined.refresh_from_db()
    assert told() == (True, "member", joined.joined_at)
    narrow(staff_only=True)
    assert told() == (False, "staff_only", None)
    narrow()
    row = AccessBlock(user=ada, feature="", reason="Abuse.", message="You sent spam.")
    access.blocks.save(row, user_id=boss.pk)
    row.refresh_from_db()
    assert told() == (False, "blocked", row.created_at)
    sentence = access.explain(summarize, ada, with_reason=True).sentence
    assert "all features: Abuse. They read: You sent spam." in sentence


def test_a_missing_prompt_is_named_as_the_cause(db: None, ada: User) -> None:
    proof.activated_elsewhere("summarize", "v1")
    FeatureControl.objects.filter(feature="summarize").update(stage=Stage.EVERYONE)
    controls.clear_cache()
    assert "No prompt" in access.explain(registry.get("summarize"), ada).sentence


def test_the_page_and_the_command_find_a_user_by_what_is_known(
    summarize: Feature, ada: User, boss: User
) -> None:
    put(stage=Stage.EVERYONE)
    job = api_jobs.job(ada)
    client = Client()
    client.force_login(boss)
    rows = ControlChange.objects.count()
    for who in ("ada", str(ada.pk), f"#{ada.pk}", references.of_job(job.id)):
        assert "ada sees this feature." in client.get(PAGE, {"who": who}).text
        assert f"ada (#{ada.pk}) sees summarize. It is open to everyone." in why(who)
    assert "There is no user" in client.get(PAGE, {"who": "nobody"}).text
    with pytest.raises(CommandError, match="no user"):
        why("9" * 30)
    assert ControlChange.objects.count() == rows, "it writes nothing"


def test_the_reason_of_a_block_is_for_those_who_may_see_blocks(
    summarize: Feature, ada: User
) -> None:
    AccessBlock.objects.create(user=ada, reason="Resold answers.", message="Blocked.")
    controls.clear_cache()
    viewer = User.objects.create_user("viewer", is_staff=True)
    client = Client()
    client.force_login(viewer)
    for rights, shown in (
        (("view_featurecontrol", "view_user"), False),
        (("view_accessblock",), True),
    ):
        viewer.user_permissions.add(*Permission.objects.filter(codename__in=rights))
        text = client.get(PAGE, {"who": "ada"}).text
        assert "The user is blocked from all features" in text
        assert "They read: Blocked." in text
        assert ("Resold answers." in text) == shown
    assert "all features: Resold answers. They read: Blocked." in why("ada")


def why(who: str) -> str:
    out = io.StringIO()
    call_command("access", "why", "summarize", who, stdout=out)
    return out.getvalue()
