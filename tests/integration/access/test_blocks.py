"""A blocked user: what they read, and what stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aifeature.models import (
    AccessBlock,
    ControlChange,
    Job,
    RateOverride,
    RefusedSubmissions,
    Stage,
)
from aifeature.services import access, jobs
from aifeature.services.jobs.refusals import NotFound
from aifeature.services.monitoring.refused_submissions import RefusedCounts
from aifeature.spec import Feature
from tests.integration.access.conftest import Narrow, put
from tests.integration.api.api_jobs import bearer, problem, submit

pytestmark = pytest.mark.slow

END = datetime(2099, 12, 31, 12, tzinfo=UTC)


def block(user: User, boss: User, **values: object) -> AccessBlock:
    row = AccessBlock(**{"user": user, "feature": "summarize", "reason": "Abuse.", **values})
    access.blocks.save(row, user_id=boss.pk)
    return row


def visits(user: User) -> dict[str, int]:
    """The status of each way to the feature."""
    client = Client()
    client.force_login(user)
    api = bearer(user)
    listed = [item["slug"] for item in api.get("/api/v1/features").json()["items"]]
    linked = "/f/summarize/" in client.get("/").text
    assert linked == ("summarize" in listed)
    return {
        "listed": int(linked),
        "page": client.get("/f/summarize/").status_code,
        "form": client.post("/f/summarize/", {}).status_code,
        "submit": submit(api).status_code,
    }


def test_a_block_without_a_message_hides_the_feature(
    summarize: Feature, ada: User, boss: User
) -> None:
    put(stage=Stage.EVERYONE)
    client = bearer(ada)
    job = submit(client).json()["links"]["self"]
    row = block(ada, boss)
    assert visits(ada) == {"listed": 0, "page": 404, "form": 404, "submit": 404}
    assert problem(submit(client), 404, "not_found")["detail"] == "There is no such feature."
    assert client.get(job).status_code == 200, "earlier requests stay"
    access.blocks.lift(row, reason="A mistake.", user_id=boss.pk)
    assert visits(ada) == {"listed": 1, "page": 200, "form": 422, "submit": 202}
    trail = ControlChange.objects.filter(field="access_block").order_by("id")
    assert [(each.old, each.new, each.reason, each.user) for each in trail] == [
        ("", f"#{ada.pk}: blocked without end, as if it did not exist", "Abuse.", boss),
        (
            f"#{ada.pk}: blocked without end, as if it did not exist",
            "not blocked",
            "A mistake.",
            boss,
        ),
    ]


def test_a_block_with_a_message_shows_it_with_its_end(
    summarize: Feature, ada: User, bob: User, boss: User
) -> None:
    put(stage=Stage.EVERYONE)
    block(ada, boss, message="You sent spam.", expires_at=END)
    sentence = "You sent spam. The block ends on 2099-12-31 12:00 UTC."
    assert visits(ada) == {"listed": 0, "page": 403, "form": 403, "submit": 403}
    assert problem(submit(bearer(ada)), 403, "access_blocked")["detail"] == sentence
    client = Client()
    client.force_login(ada)
    page = client.get("/f/summarize/").text
    assert sentence in page
    assert "<textarea" not in page
    assert Job.objects.count() == 0
    assert visits(bob)["submit"] == 202, "another user noticed nothing"


def test_no_page_names_a_hidden_feature_to_a_user_with_lower_limits(
    summarize: Feature, ada: User
) -> None:
    RateOverride.objects.create(user=ada, feature="summarize", reason="r", requests_per_minute=1)
    client = Client()
    client.force_login(ada)

    def named() -> list[bool]:
        return [summarize.title in client.get(page).text for page in ("/", "/account/")]

    put(stage=Stage.STAFF)
    assert named() == [False, False]
    put(stage=Stage.EVERYONE)
    assert named() == [True, True]


@pytest.mark.parametrize("message", ["", "You sent spam."])
def test_submissions_while_blocked_are_counted_on_the_page_and_in_the_api(
    summarize: Feature,
    ada: User,
    bob: User,
    boss: User,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = RefusedCounts()
    monkeypatch.setattr("aifeature.services.jobs.refused_counts.counts", counts)
    put(stage=Stage.STAFF)
    submit(bearer(bob))
    put(stage=Stage.EVERYONE)
    block(ada, boss, feature="", message=message)
    visits(ada)  # one on the page, one in the API
    with pytest.raises(NotFound):
        jobs.submit(user=ada, slug="no-such-feature", data={})
    counts.store()
    stored = RefusedSubmissions.objects.values_list("user", "feature", "kind", "count")
    assert list(stored) == [(ada.pk, "summarize", "blocked", 2)]


def test_a_message_discloses_no_feature_that_the_user_would_not_see(
    summarize: Feature, ada: User, boss: User
) -> None:
    put(stage=Stage.BETA)
    block(ada, boss, feature="", message="You sent spam.")
    assert visits(ada)["submit"] == 404


def test_a_block_is_above_all_other_rules_and_ends_by_itself(
    summarize: Feature, ada: User, boss: User
) -> None:
    put(stage=Stage.BETA).beta_users.add(ada)
    row = block(ada, boss, feature="")
    own = block(boss, boss)
    for user in (ada, boss):
        assert not access.is_visible(summarize, user)
    client = Client()
    client.force_login(boss)
    assert client.get("/admin/aifeature/accessblock/").status_code == 200, "admin stays open"
    for each in (row, own):
        each.expires_at = datetime.now(UTC) - timedelta(seconds=1)
        access.blocks.save(each, user_id=boss.pk)
    for user in (ada, boss):
        assert access.is_visible(summarize, user)


def test_a_block_needs_a_reason(summarize: Feature, ada: User, boss: User) -> None:
    with pytest.raises(ValueError, match="reason"):
        block(ada, boss, reason=" ")
    row = block(ada, boss)
    with pytest.raises(ValueError, match="reason"):
        access.blocks.lift(row, reason="", user_id=boss.pk)
    assert AccessBlock.objects.count() == 1


def test_the_environment_only_narrows(
    summarize: Feature, ada: User, boss: User, narrow: Narrow
) -> None:
    def seen() -> list[bool]:
        return [access.is_visible(summarize, user) for user in (boss, ada)]

    put(stage=Stage.EVERYONE)
    assert seen() == [True, True]
    narrow(staff_only=True)
    assert seen() == [True, False]
    assert visits(ada) == {"listed": 0, "page": 404, "form": 404, "submit": 404}
    narrow(enabled=False)
    assert seen() == [False, False]
    narrow(enabled=True, staff_only=False)
    put(stage=Stage.STAFF)
    assert seen() == [True, False]
    put(stage=Stage.OFF)
    assert seen() == [False, False]


def test_a_stranger_finds_no_trace_of_a_feature(summarize: Feature, ada: User) -> None:
    put(stage=Stage.STAFF)
    client = Client()
    client.force_login(ada)
    for address in ("/", "/jobs/", "/usage/", "/beta/", "/account/", "/api/v1/openapi.json"):
        text = client.get(address).text
        assert summarize.title not in text, address
        assert "/f/summarize/" not in text, address
    assert client.get("/f/summarize/sources/").status_code == 404
    assert "selected" not in client.get("/jobs/?feature=summarize").text
