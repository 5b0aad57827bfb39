"""The dashboard with planted rows: figures, rights, CSV, odd addresses, and its queries."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from aifeature.models import (
    Alert,
    AuditedAnswer,
    ControlChange,
    SpendWindow,
    Status,
    UserCostDay,
    Watch,
)
from aifeature.models.functions import database_now
from tests.integration.admin.conftest import MakeJob, Staff
from tests.number_rows import plant, slot

pytestmark = pytest.mark.slow

PAGE = "/dashboard/"


@pytest.fixture
def rows(make_job: MakeJob, customer: User, boss: User) -> None:
    now = database_now()
    plant("summarize", now, days=3)
    slot("old-feature", now - timedelta(hours=1)).save()
    UserCostDay.objects.create(feature="old-feature", day=now.date(), users=1, spend_micro=5)
    Alert.objects.create(
        kind="errors_high",
        subject="summarize",
        summary="3.1 % of requests fail.",
        acknowledged_at=now,
        acknowledged_by=boss,
    )
    ControlChange.objects.create(
        feature="summarize", field="stage", old="beta", new="everyone", reason="r", user=boss
    )
    for scope, key in (("account", f"{customer.pk}"), ("user", f"summarize:{customer.pk}")):
        SpendWindow.objects.create(scope=scope, key=key, day=now.date(), own_spend_micro=2_500_000)
    monday = now.date() - timedelta(days=now.weekday())
    label = AuditedAnswer.Label
    for number in range(4):
        AuditedAnswer.objects.create(
            job=make_job(status=Status.SUCCEEDED),
            feature="summarize",
            week=monday,
            sample=1,
            label=label.HALLUCINATED if number == 0 else label.GROUNDED,
            labelled_at=now,
        )


def test_the_page_shows_what_was_planted(page: Client, rows: None) -> None:
    with CaptureQueriesContext(connection) as queries:
        answer = page.get(f"{PAGE}?range=24h&feature=summarize&by=model&sort=-requests")
    shown = answer.text
    assert answer.status_code == 200
    assert "Errors high: summarize" in shown
    assert "acknowledged by boss" in shown
    card = shown[shown.index('id="card-errors"') :][:900]
    assert "2.5" in card
    assert "no change" in card
    assert "above 10 seconds" in shown
    assert "25.0" in shown[shown.index('id="card-hallucinations"') :][:600]
    assert "Stage: beta → everyone" in shown
    assert "$2.50" in shown
    assert "claude-haiku-5-5" in shown[shown.index('id="breakdown"') :]
    assert '<details class="aif-dash-data" open>' in shown, "tables are open without JavaScript"
    assert len(queries) < 70
    written = ("INSERT", "UPDATE", "DELETE")
    assert [q["sql"] for q in queries if q["sql"].lstrip().startswith(written)] == []


def test_each_card_needs_the_right_to_its_rows(
    staff: Staff, rows: None, customer: User, client: Client
) -> None:
    few = staff("view_job").get(PAGE).text
    assert 'id="card-errors"' in few
    assert 'id="chart-latency"' in few
    for absent in ("card-cost", "chart-cost", "dash-alerts", "dash-spenders", "card-thumbs-down"):
        assert f'id="{absent}"' not in few, absent
    assert "Thumbs down" not in few
    assert "beta → everyone" not in few
    names = staff("view_refusedsubmissions").get(PAGE).text
    assert f"#{customer.pk}" in names
    assert customer.username not in names
    assert "You do not have permission to see any figures" in staff().get(PAGE).text
    assert staff("view_job").get(f"{PAGE}cost.csv").status_code == 404
    client.force_login(customer)
    for visitor in (client, Client()):
        for path in (PAGE, f"{PAGE}live/", f"{PAGE}errors.csv"):
            answer = visitor.get(path)
            assert answer.status_code == 302
            assert answer["Location"].startswith("/admin/login/?next=/dashboard/")


def test_a_chart_is_a_csv_file_with_gaps(page: Client, rows: None) -> None:
    answer = page.get(f"{PAGE}satisfaction.csv?feature=summarize&range=7d")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    head, *lines = answer.text.strip().split("\r\n")
    assert head.startswith("Time (UTC),Thumbs down (%),low (%),high (%),Votes,")
    assert len(lines) == 28
    first, last = lines[0].split(","), lines[-1].split(",")
    assert first[1:5] == ["", "", "", "0"], "a time without votes is a gap"
    assert float(last[1]) == pytest.approx(100 / 6)
    now = database_now().astimezone(UTC)
    assert last[0].startswith(f"{now:%Y-%m-%d}T")
    assert page.get(f"{PAGE}nonsense.csv").status_code == 404


@pytest.mark.parametrize(
    "query", ["feature=nonsense&range=9y&by=x&sort=%27--", "feature=answer", "feature=old-feature"]
)
def test_odd_addresses_and_empty_features_show_a_page(page: Client, rows: None, query: str) -> None:
    answer = page.get(f"{PAGE}?{query}")
    assert answer.status_code == 200
    assert ("old-feature (no longer in the code), as of" in answer.text) == ("old-" in query)
    assert page.get(f"{PAGE}live/?{query}").status_code == 200
    assert page.get(f"{PAGE}errors.csv?{query}").status_code == 200


def test_a_page_without_any_rows_names_the_next_step(page: Client) -> None:
    shown = page.get(PAGE).text
    assert "No request ended in this time." in shown
    assert "The check of the numbers has not stored any yet." in shown
    assert "No alert is open." in shown
    assert page.post(PAGE).status_code == 405
    assert page.get(f"{PAGE}?feature=%00").status_code == 400


def test_a_queue_without_workers_is_shown_before_its_alert_opens(page: Client) -> None:
    """If all workers are gone, no check runs that would open the alert."""
    an_hour_ago = database_now() - timedelta(hours=1)
    for name in ("turn", "queue llm"):
        Watch.objects.create(name=name, since=an_hour_ago, seen_at=an_hour_ago)
    for address in (PAGE, f"{PAGE}live/"):
        assert "No worker has served the queue llm for 3600 seconds." in page.get(address).text
