"""Users see their own usage and what is left, on the page and through the API."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from aifeature import money
from aifeature.models import AccessBlock, FeatureControl, Job, Origin, SpendWindow, Status
from aifeature.services import controls
from aifeature.services.jobs import usage
from aifeature.web.usage import rounded_down
from tests import proof
from tests.browser import scenes
from tests.integration.job_rows import database_time


def sent(user: User, *, days: int = 0, count: int = 1, **values: Any) -> list[Job]:
    """Store answered requests of the first second of a UTC day."""
    now = database_time().astimezone(UTC)
    age = now - now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=days)
    return [scenes.job(user, Status.SUCCEEDED, age=age, **values) for _ in range(count)]


@pytest.fixture
def usual(ada: User, bob: User, opened: None) -> None:
    """Ada used summarize today and before; Bob and an evaluation used it, too."""
    first, *_ = sent(ada, count=5, charge_micro=20_000)
    sent(ada, days=usage.DAYS - 1, count=2)
    sent(ada, days=usage.DAYS)
    sent(ada, requeued_from=first)
    sent(ada, origin=Origin.EVAL)
    sent(ada, feature="gone", days=1)
    sent(bob, count=3)
    controls.change(
        "summarize",
        {"user_daily_budget_usd": 1, "requests_per_minute": 7},
        reason="r",
        check_name="test",
    )
    SpendWindow.objects.create(
        scope="user",
        key=f"summarize:{ada.pk}",
        day=database_time().date(),
        spent_micro=250_000,
        own_spend_micro=250_000,
    )


def test_own_usage_is_shown_with_what_is_left(
    client: Client, ada: User, bob: User, usual: None
) -> None:
    client.force_login(ada)
    with CaptureQueriesContext(connection) as queries:
        page = client.get("/usage/").text
    assert not [q for q in queries if q["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]
    (own,) = client.get("/api/v1/usage").json()["items"]
    assert (own["feature"], own["requests_today"]) == ("summarize", 5)
    assert [each["requests"] for each in own["by_day"]] == [2, *[0] * (usage.DAYS - 2), 5]
    assert own["charged_today_usd"] == money.exact(250_000)
    assert (own["allowance_used"], own["about_left"]) == (0.25, 37), "750,000 at 20,000 each"
    assert (own["rate"]["remaining"], own["rate"]["limit"], own["refused"]) == (7, 7, None)
    assert ">25 % of today" in page
    assert "about 35 more requests like those" in page
    assert "1 request to features that you cannot use now" in page
    client.force_login(bob)
    (other,) = client.get("/api/v1/usage").json()["items"]
    assert (other["requests_today"], other["allowance_used"], other["about_left"]) == (3, 0, None)


def test_the_page_shows_why_a_feature_is_closed(
    client: Client, ada: User, bob: User, usual: None
) -> None:
    client.force_login(ada)
    SpendWindow.objects.update(spent_micro=1_000_000)
    spent = client.get("/usage/").text
    assert "You have used up your budget for this feature." in spent
    assert "You can send more when the next day begins." in spent
    proof.open_to_users("answer")
    AccessBlock.objects.create(
        user=ada, feature="answer", message="Ask Kim.", reason="r", created_by=bob
    )
    FeatureControl.objects.filter(feature="summarize").update(killed=True, kill_reason="secret")
    controls.clear_cache()
    page = client.get("/usage/").text
    assert "Ask Kim." in page
    assert "This feature is paused at the moment." in page
    assert "secret" not in page
    refused = {
        e["feature"]: e["refused"]["code"] for e in client.get("/api/v1/usage").json()["items"]
    }
    assert refused == {"answer": "access_blocked", "summarize": "feature_paused"}


@pytest.mark.parametrize(
    ("count", "shown"), [(0, 0), (19, 19), (37, 35), (99, 95), (123, 120), (98_765, 98_000)]
)
def test_an_estimate_has_two_digits(count: int, shown: int) -> None:
    assert rounded_down(count) == shown
