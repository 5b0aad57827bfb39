"""The seed of a feature stays, and goes with it to another name."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from aifeature import registry
from aifeature.models import (
    AccessBlock,
    BetaMember,
    ControlChange,
    FeatureControl,
    RateOverride,
    Stage,
)
from aifeature.services import access, controls
from tests import proof
from tests.integration.access.conftest import put

pytestmark = pytest.mark.slow

NEW = "triage"
"""In the role of the new name of `summarize`."""


def rename(old: str = "summarize", new: str = NEW, reason: str = "A better name.") -> str:
    out = io.StringIO()
    by = ("--reason", reason, "--user", "boss", "--yes")
    call_command("access", "rename", old, new, *by, stdout=out)
    return out.getvalue()


def test_each_control_has_its_slug_as_seed(summarize: Any) -> None:
    FeatureControl.objects.create(feature="other")
    with connection.cursor() as cursor:  # as a process of the release before
        cursor.execute(
            "INSERT INTO aifeature_featurecontrol (feature, stage, percent, prompt_version,"
            " updated_at) VALUES ('older', 'off', 0, '', now())"
        )
    seeds = dict(FeatureControl.objects.values_list("feature", "seed"))
    assert seeds == {"summarize": "summarize", "other": "other", "older": "older"}
    row = FeatureControl.objects.get(feature="other")
    row.seed = ""
    row.save()
    row.refresh_from_db()
    assert row.seed == "other", "an empty seed keeps the one there is"
    with pytest.raises(IntegrityError, match="All users would move"), transaction.atomic():
        FeatureControl.objects.filter(feature="other").update(seed="dice")


def test_the_same_users_see_a_feature_under_its_new_name(summarize: Any, boss: User) -> None:
    proof.activate(NEW)
    users = User.objects.bulk_create(  # places follow from ids
        User(id=3_000_000 + number, username=f"user-{number}") for number in range(60)
    )
    pilots = Group.objects.create(name="pilots")
    pilots.user_set.add(users[0])
    open_to_some = {"stage": Stage.PERCENT, "percent": 30}
    row = put(**open_to_some, beta_cap=9, holdout_percent=20)
    row.beta_users.add(users[1])
    row.beta_groups.add(pilots)
    BetaMember.objects.bulk_create(BetaMember(feature="summarize", user=u) for u in users[2:8])
    blocked = [AccessBlock(feature="summarize", user=u, reason="Abuse.") for u in users[:20:2]]
    AccessBlock.objects.bulk_create(blocked)
    RateOverride.objects.create(user=users[3], feature="summarize", in_flight=1, reason="Abuse.")
    controls.clear_cache()

    def seen(slug: str) -> set[str]:
        feature = registry.get(slug)
        return {user.username for user in users if access.is_visible(feature, user)}

    before = seen("summarize")
    assert 10 < len(before) < 40
    with pytest.raises(CommandError, match="needs a reason"):
        rename(reason=" ")
    out = rename()
    assert "1 invited users, 1 groups, 6 members, 10 blocks, 1 rate overrides" in out
    assert seen(NEW) == set(), "the stage is the operator's choice"
    controls.change(NEW, open_to_some, reason="As before.", check_name="test")
    assert seen(NEW) == before
    assert RateOverride.objects.get(feature=NEW).user == users[3]
    assert seen("summarize") == before, "the release before keeps its users"
    change = ControlChange.objects.get(feature=NEW, field="seed")
    assert (change.old, change.new, change.user) == (NEW, "summarize", boss)
    assert change.reason == "A better name."


def test_a_feature_with_users_gets_no_other_seed(summarize: Any, boss: User) -> None:
    proof.open_to_users(NEW)
    for old, new, problem in (
        ("summarize", NEW, "open to users already"),
        ("nothing", "summarize", "no feature nothing with settings"),
        ("summarize", "nothing", "The code has no feature nothing"),
        ("summarize", "summarize", "two different features"),
    ):
        with pytest.raises(CommandError, match=problem):
            rename(old, new)
    assert not ControlChange.objects.filter(field="seed").exists()
