"""The users of a feature at each stage: in the controls, in the API and on the pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aifeature import registry
from aifeature.models import FeatureControl, Job, Stage
from aifeature.services import access
from aifeature.services.controls import effective
from tests import proof
from tests.integration.api.api_jobs import bearer, problem, submit
from tests.integration.conftest import AMPLE_RATES

pytestmark = pytest.mark.slow

BUCKETS: Final = {"at_5": 5, "at_18": 18, "at_50": 50, "at_99": 99}
"""The percent buckets of four users for `summarize`. A change of these would take the feature from
users who have it."""

IDS: Final = {
    "staff": 900_011,
    "invited": 900_010,
    "at_5": 900_033,
    "at_18": 900_008,
    "at_50": 900_012,
    "at_99": 900_035,
}
"""Staff and the invited user are at 95, above all shares of these tests but the last."""

INSIDERS: Final = {"staff", "invited"}
EVERYBODY: Final = set(IDS)

STAGES: Final = [
    (Stage.OFF, 100, set()),
    (Stage.STAFF, 100, {"staff"}),
    (Stage.BETA, 100, INSIDERS),
    (Stage.PERCENT, 0, INSIDERS),
    (Stage.PERCENT, 5, INSIDERS),
    (Stage.PERCENT, 6, INSIDERS | {"at_5"}),
    (Stage.PERCENT, 50, INSIDERS | {"at_5", "at_18"}),
    (Stage.PERCENT, 51, INSIDERS | {"at_5", "at_18", "at_50"}),
    (Stage.PERCENT, 99, EVERYBODY - {"at_99"}),
    (Stage.PERCENT, 100, EVERYBODY),
    (Stage.EVERYONE, 0, EVERYBODY),
]
"""Stage, percent, and the users who then see the feature."""

People = Mapping[str, User]


@pytest.fixture
def people(db: None) -> People:
    """One user of each kind. The beta list of `summarize` names one of them."""
    made = {
        name: User.objects.create_user(name, id=number, is_staff=name == "staff")
        for name, number in IDS.items()
    }
    proof.activate("summarize")
    row(Stage.OFF, 0).beta_users.add(made["invited"])
    return made


def row(stage: Stage, percent: int) -> FeatureControl:
    values = {"stage": stage, "percent": percent, **AMPLE_RATES}
    return effective.change("summarize", values, reason="test", check_name="test")


def visible_to(people: People) -> set[str]:
    feature = registry.get("summarize")
    return {name for name, user in people.items() if access.is_visible(feature, user)}


def listed_for(people: People) -> set[str]:
    bodies = {name: bearer(user).get("/api/v1/features").json() for name, user in people.items()}
    return {
        name
        for name, body in bodies.items()
        if "summarize" in {item["slug"] for item in body["items"]}
    }


def accepted_from(people: People) -> set[str]:
    """The users whose job is stored. Each of the others gets the 404 of an unknown feature."""
    for user in people.values():
        answer = submit(bearer(user))
        if answer.status_code != 202:
            problem(answer, 404, "not_found")
    owners = Job.objects.values_list("user__username", flat=True)
    return set(owners)


def shown_to(people: People) -> set[str]:
    """The users who find the feature on the start page and open its form."""
    found = set()
    for name, user in people.items():
        client = Client()
        client.force_login(user)
        linked = 'href="/f/summarize/"' in client.get("/").text
        form = client.get("/f/summarize/").status_code
        assert (linked, form) in {(True, 200), (False, 404)}, (name, linked, form)
        if linked:
            found.add(name)
    return found


@pytest.mark.parametrize(("stage", "percent", "users"), STAGES)
def test_stages_open_features(people: People, stage: Stage, percent: int, users: set[str]) -> None:
    row(stage, percent)
    assert visible_to(people) == users
    assert listed_for(people) == users
    assert accepted_from(people) == users
    assert shown_to(people) == users


def test_an_invitation_ends_with_its_entry_on_the_list(people: People) -> None:
    row(Stage.BETA, 0).beta_users.remove(people["invited"])
    effective.cache.clear()
    assert visible_to(people) == {"staff"}


def test_an_invitation_to_another_feature_does_not_count(people: People) -> None:
    proof.activated_elsewhere("other", "v1")
    other = FeatureControl.objects.get(feature="other")
    other.stage = Stage.BETA
    other.save()
    other.beta_users.add(people["at_5"])
    row(Stage.BETA, 0)
    assert visible_to(people) == INSIDERS


def test_raising_the_share_only_adds_users_and_each_at_a_fixed_place(people: People) -> None:
    users = {name: people[name] for name in BUCKETS}
    for percent in range(101):
        row(Stage.PERCENT, percent)
        assert visible_to(users) == {name for name, place in BUCKETS.items() if place < percent}


def test_a_user_who_is_shut_out_later_keeps_the_jobs_of_before(people: People) -> None:
    row(Stage.PERCENT, 6)
    client = bearer(people["at_5"])
    job = submit(client).json()["links"]["self"]
    row(Stage.PERCENT, 5)
    problem(submit(client), 404, "not_found")
    assert client.get(job).status_code == 200
