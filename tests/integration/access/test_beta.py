"""Users join and leave betas by themselves, up to a cap."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.utils import IntegrityError
from django.test import Client

from aifeature import registry
from aifeature.models import AccessBlock, BetaMember, FeatureControl, Stage
from aifeature.services import access, controls
from aifeature.services.access import beta, gates
from aifeature.services.access.beta import Outcome
from aifeature.spec import Feature
from tests import proof
from tests.integration.access.conftest import Narrow, put
from tests.integration.api.api_jobs import bearer, submit

pytestmark = pytest.mark.slow


def offered(user: User) -> dict[str, bool]:
    return {offer.feature.slug: offer.is_member for offer in beta.offers(user)}


def page_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_a_user_joins_uses_and_leaves(summarize: Feature, ada: User, bob: User) -> None:
    put(stage=Stage.BETA, beta_cap=1)
    client, other = page_of(ada), page_of(bob)
    assert "Try new features" in client.get("/").text
    assert "1 place left" in client.get("/beta/").text
    assert client.get("/f/summarize/").status_code == 404
    joined = client.post("/beta/summarize/join/", follow=True)
    assert joined.redirect_chain == [("/beta/", 303)]
    assert "You have joined" in joined.text
    assert submit(bearer(ada)).status_code == 202, "at once, although nothing was polled"
    assert "Try new features" not in client.get("/").text
    assert "Full" in other.get("/beta/").text
    assert "All places are taken" in other.post("/beta/summarize/join/", follow=True).text
    client.post("/beta/summarize/leave/")
    assert client.get("/f/summarize/").status_code == 404
    assert len(client.get("/api/v1/jobs").json()["items"]) == 1, "earlier requests stay"
    other.post("/beta/summarize/join/")
    assert list(BetaMember.objects.values_list("user__username", flat=True)) == ["bob"]


def test_only_a_beta_that_would_help_the_user_is_offered(
    summarize: Feature, ada: User, bob: User, narrow: Narrow
) -> None:
    control = put(stage=Stage.BETA, beta_cap=5)
    assert offered(ada) == {"summarize": False}
    for values in (
        {"beta_cap": 0},
        {"stage": Stage.STAFF},
        {"stage": Stage.EVERYONE},
        {"stage": Stage.PERCENT, "percent": 100},
        {"stage": Stage.BETA, "holdout_percent": 50},
    ):
        held_out = User(pk=900_001)  # at place 12 of the hold-out
        put(**{"stage": Stage.BETA, "beta_cap": 5, "holdout_percent": 0, **values})
        user = held_out if "holdout_percent" in values else ada
        assert offered(user) == {}, values
        assert beta.join("summarize", user) == Outcome.CLOSED
    put(stage=Stage.PERCENT, percent=0, beta_cap=5, holdout_percent=0)
    assert offered(ada) == {"summarize": False}
    narrow(staff_only=True)
    assert offered(ada) == {}
    narrow()
    control.beta_users.add(ada)
    group = Group.objects.create(name="pilots")
    group.user_set.add(bob)
    control.beta_groups.add(group)
    controls.clear_cache()
    assert (offered(ada), offered(bob)) == ({}, {})
    assert access.is_visible(summarize, bob)
    assert not BetaMember.objects.exists()


def test_a_blocked_user_cannot_join(summarize: Feature, ada: User) -> None:
    put(stage=Stage.BETA, beta_cap=5)
    AccessBlock.objects.create(user=ada, feature="summarize", reason="Abuse.")
    controls.clear_cache()
    assert beta.join("summarize", ada) == Outcome.CLOSED
    answer = page_of(ada).post("/beta/summarize/join/", follow=True)
    unknown = page_of(ada).post("/beta/nothing/join/", follow=True)
    assert "not open for joining" in answer.text
    assert "not open for joining" in unknown.text


def test_the_database_is_read_only_if_membership_could_decide(
    summarize: Feature, ada: User, boss: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(stage=Stage.BETA).beta_users.add(ada)
    controls.clear_cache()
    read: list[int] = []

    def memberships(user: User) -> frozenset[str]:
        read.append(user.pk)
        return frozenset()

    monkeypatch.setattr(gates, "memberships", memberships)
    stranger = User(pk=900_001)
    assert [access.is_visible(summarize, user) for user in (boss, ada)] == [True, True]
    for values in ({"stage": Stage.EVERYONE}, {"stage": Stage.PERCENT, "percent": 100}):
        put(**values)
        assert access.is_visible(summarize, stranger)
    put(stage=Stage.STAFF)
    assert not access.is_visible(summarize, stranger)
    assert read == []
    put(stage=Stage.BETA)
    assert not access.is_visible(summarize, stranger)
    access.visible(registry.all_features().values(), stranger)
    assert read == [stranger.pk] * 2, "one for all features of a list"


@pytest.mark.usefixtures("committed")
def test_the_cap_holds_for_users_who_join_at_the_same_time() -> None:
    proof.activate("summarize")
    put(stage=Stage.BETA, beta_cap=3)
    users = [User.objects.create_user(f"user-{number}") for number in range(12)]

    def join(user: User) -> Outcome:
        try:
            return beta.join("summarize", user)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(join, users))
    assert sorted(outcomes) == [Outcome.FULL] * 9 + [Outcome.JOINED] * 3
    assert BetaMember.objects.count() == 3
    member = BetaMember.objects.first()
    assert member is not None
    assert beta.join("summarize", member.user) == Outcome.JOINED, "again changes nothing"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"stage": Stage.BETA}, {"beta_cap": 5}),
        ({"stage": Stage.EVERYONE, "holdout_percent": 20}, {"holdout_percent": 10}),
    ],
    ids=["places", "hold-out"],
)
def test_more_users_get_a_feature_only_with_evidence(
    summarize: Feature, before: dict[str, Any], after: dict[str, Any]
) -> None:
    put(**before)
    proof.evidence("summarize", fresh_until=datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(ValidationError, match="too old") as refused:
        put(**after)
    assert set(refused.value.message_dict) == set(after)
    rows = FeatureControl.objects.filter(feature="summarize")
    with pytest.raises(IntegrityError, match="opening it to more users"), transaction.atomic():
        rows.update(**after)
    put(**({"beta_cap": 0} if "beta_cap" in after else {"holdout_percent": 30}))
    put(stage=Stage.STAFF)
    put(**after)
    assert rows.filter(**after).exists(), "at stage staff it opens nothing"


def test_a_feature_whose_prompt_is_not_live_is_not_offered(ada: User, db: None) -> None:
    proof.activated_elsewhere("summarize", "v1")
    FeatureControl.objects.filter(feature="summarize").update(stage=Stage.BETA, beta_cap=5)
    controls.clear_cache()
    assert controls.stage(registry.get("summarize")) == Stage.STAFF
    assert offered(ada) == {}
