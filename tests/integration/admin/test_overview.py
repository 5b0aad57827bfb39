"""The overview: correct figures, few queries, escaped text, and the permission for each part."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from aifeature import registry
from aifeature.admin.common.show import money, span
from aifeature.admin.controls import cards
from aifeature.models import (
    TERMINAL,
    AttemptState,
    Job,
    SpendWindow,
    Status,
    Worker,
    heartbeats,
)
from aifeature.models.functions import rows as ask
from aifeature.models.watch import Watch
from aifeature.services.controls import effective
from aifeature.services.monitoring import overview, signs_of_life
from tests import proof
from tests.integration.admin.conftest import MakeAttempt, MakeJob, Staff

pytestmark = pytest.mark.slow

INDEX = "/admin/"
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
"""The moment of all figures."""


@pytest.fixture
def aged(make_job: MakeJob) -> MakeJob:
    """A job submitted `ago` seconds before noon. If ended, it took `took` seconds."""

    def make(ago: float, took: float = 0, **values: Any) -> Job:
        created = NOON - timedelta(seconds=ago)
        if values.get("status") in TERMINAL:
            values["finished_at"] = created + timedelta(seconds=took)
        return make_job(created_at=created, run_at=created, **values)

    return make


def run(job: Job, *, lease_ends_in: float) -> None:
    lease = NOON + timedelta(seconds=lease_ends_in)
    Job.objects.filter(pk=job.pk).update(status=Status.RUNNING, lease_until=lease, epoch=1)


def test_a_day_is_counted_by_state_from_midnight_on(aged: MakeJob) -> None:
    for _ in range(3):
        aged(60, took=2, status=Status.SUCCEEDED)
    aged(60, took=8, status=Status.FAILED)
    aged(60)
    aged(13 * 3600, took=99, status=Status.FAILED)  # yesterday
    aged(60, took=1, status=Status.SUCCEEDED, feature="another")
    day = overview.today(NOON)
    figures = day["summarize"]
    assert figures.by_status == {"succeeded": 3, "failed": 1, "queued": 1}
    assert (figures.total, figures.error_rate) == (5, 0.25)
    assert figures.p50_s == pytest.approx(2)
    assert figures.p95_s == pytest.approx(7.1)
    assert day["another"].total == 1


def test_cancelled_jobs_are_no_errors_and_none_ended_is_no_rate(make_job: MakeJob) -> None:
    make_job(status=Status.CANCELLED, finished_at=NOON)
    make_job()
    assert overview.today(NOON)["summarize"].error_rate is None
    assert overview.Today().error_rate is None


def test_percentiles_use_the_newest_jobs(aged: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "SAMPLE", 2)
    aged(300, took=100, status=Status.SUCCEEDED)
    aged(200, took=4, status=Status.SUCCEEDED)
    aged(100, took=4, status=Status.SUCCEEDED)
    assert overview.today(NOON)["summarize"].p95_s == pytest.approx(4)


def test_the_queue_counts_all_kinds_of_jobs(aged: MakeJob, make_attempt: MakeAttempt) -> None:
    aged(90)
    aged(20)
    aged(-600)  # put back
    run(aged(50), lease_ends_in=10)
    lost = aged(50)
    run(lost, lease_ends_in=-5)
    make_attempt(lost, started_at=NOON - timedelta(seconds=40))
    queue = overview.queue(NOON)
    assert (queue.due, queue.later, queue.running, queue.overdue) == (2, 1, 2, 1)
    assert queue.waiting == timedelta(seconds=90)
    assert queue.last_call == NOON - timedelta(seconds=40)
    assert not queue.stuck


@pytest.mark.parametrize(("ago", "stuck"), [(29, False), (31, True)])
def test_a_due_job_without_a_worker_is_reported(aged: MakeJob, ago: float, *, stuck: bool) -> None:
    aged(ago)
    run(aged(500), lease_ends_in=-60)  # its worker is gone
    assert overview.queue(NOON).stuck is stuck


def test_a_worker_that_has_nothing_to_do_is_seen(page: Client) -> None:
    for queue in ("llm", "control"):
        heartbeats.alive(ask, f"{queue}@host", queue=queue, slots=16)
    shown = page.get(INDEX).context["workers"]
    assert re.fullmatch(r"[\d.]+ m?s ago", shown["ago"])
    assert (shown["jobs"], shown["gone"]) == ("llm: 1 live, 16 threads", False)
    evals, checks = shown["others"]
    assert (evals["text"], evals["gone"]) == ("evals: never", True)
    assert re.fullmatch(r"control: [\d.]+ m?s ago", checks["text"])
    assert "no provider call yet" in page.get(INDEX).text


@pytest.mark.parametrize(
    ("ago", "gone"),
    [(timedelta(0), False), (signs_of_life.GONE_AFTER, True), (timedelta(seconds=3599), True)],
)
def test_a_worker_is_gone_after_20_seconds(db: None, ago: timedelta, *, gone: bool) -> None:
    assert timedelta(seconds=20) == signs_of_life.GONE_AFTER
    for name, age in (("llm@host", ago), ("llm@old", timedelta(seconds=3599))):
        heartbeats.alive(ask, name, queue="llm", slots=4)
        Worker.objects.filter(name=name).update(seen_at=Now() - age)
    seen = signs_of_life.last_seen()["llm"]
    assert seen.is_gone is gone
    assert (seen.live, seen.threads) == ((0, 0) if gone else (1, 4))
    assert seen.ago is not None
    assert ago <= seen.ago < ago + timedelta(seconds=60)


def test_a_worker_whose_row_is_deleted_was_seen_all_the_same(db: None) -> None:
    Watch.objects.create(name="queue llm", alive_at=Now() - timedelta(hours=5))
    seen = signs_of_life.last_seen()
    assert seen["llm"].is_gone
    assert seen["llm"].ago is not None
    assert seen["llm"].ago > timedelta(hours=4)
    assert seen["evals"].ago is None


def test_counting_stops_at_its_limit(
    aged: MakeJob, make_attempt: MakeAttempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "COUNT_LIMIT", 2)
    for number in range(3):
        make_attempt(aged(60), number=number + 1, state=AttemptState.UNKNOWN)
    assert overview.queue(NOON).due == 2
    assert overview.unknown_calls() == {"summarize": 2}
    assert cards.at_least(2) == "2+"


def test_only_calls_for_a_person_are_counted(aged: MakeJob, make_attempt: MakeAttempt) -> None:
    job = aged(60)
    make_attempt(job, number=1, state=AttemptState.UNKNOWN, purpose="probe")
    make_attempt(job, number=2, state=AttemptState.UNKNOWN, own_spend=True)
    make_attempt(job, number=3, state=AttemptState.ESTIMATED)
    assert overview.unknown_calls() == {}
    make_attempt(job, number=4, state=AttemptState.UNKNOWN)
    assert overview.unknown_calls() == {"summarize": 1}


def test_the_prompt_cache_is_counted_over_the_newest_calls_of_today(
    aged: MakeJob, make_attempt: MakeAttempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def called(ago: float, **values: Any) -> None:
        at = NOON - timedelta(seconds=ago)
        make_attempt(aged(ago), started_at=at, ended_at=at, **values)

    called(10, input_tokens=100, cache_read_tokens=900, cache_saved_micro=81)
    called(20, input_tokens=100, cache_write_tokens=900, cache_saved_micro=-23)
    called(30, input_tokens=5_000)
    called(13 * 3600, input_tokens=1, cache_read_tokens=9_999, cache_saved_micro=999)
    assert overview.prompt_cache(NOON) == {"summarize": overview.PromptCache(900 / 7_000, 58)}
    monkeypatch.setattr(overview, "SAMPLE", 2)
    assert overview.prompt_cache(NOON) == {"summarize": overview.PromptCache(900 / 2_000, 58)}


def test_without_the_cache_there_is_no_figure(aged: MakeJob, make_attempt: MakeAttempt) -> None:
    make_attempt(aged(10), input_tokens=100)
    assert overview.prompt_cache(datetime.now(UTC)) == {}


@pytest.mark.parametrize(
    ("saved", "title"), [(7_500, "Saved by the cache"), (-7_500, "Spent on filling the cache")]
)
def test_the_page_shows_the_effect_of_the_cache(
    page: Client, make_job: MakeJob, make_attempt: MakeAttempt, saved: int, title: str
) -> None:
    make_attempt(make_job(), cache_read_tokens=1, cache_saved_micro=saved)
    assert f"{title}</dt><dd>$0.0075</dd>" in page.get(INDEX).text


def test_spend_is_of_today_and_held_against_the_cap_in_force(settings: Any, db: None) -> None:
    day = NOON.date()
    make = SpendWindow.objects.create
    make(scope="feature", key="summarize", day=day, spent_micro=3_000_000, held_micro=1_000_000)
    make(scope="feature", key="summarize", day=day - timedelta(days=1), spent_micro=99_000_000)
    make(scope="user", key="summarize:1", day=day, spent_micro=77_000_000)
    make(scope="global", key="", day=day, spent_micro=5_000_000)
    features = registry.offered()
    for slug in features:
        effective.change(slug, {"daily_budget_usd": 8}, reason="r", check_name="test")
    own = {"GLOBAL_DAILY_BUDGET_USD": None, "EVALS_DAILY_BUDGET_USD": Decimal(7)}
    settings.AIFEATURE = {**settings.AIFEATURE, **own}
    spend = overview.spend(NOON)
    assert spend["summarize"] == overview.Spend(3_000_000, 1_000_000, 8_000_000)
    cap = 8_000_000 * len(features) + 7_000_000
    assert spend[effective.GLOBAL] == overview.Spend(5_000_000, 0, cap)


def test_a_site_without_features_has_an_overview(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    caps = {"daily_budget_usd": 8, "monthly_budget_usd": 90}
    effective.change(effective.GLOBAL, caps, reason="r", check_name="test")
    monkeypatch.setattr(registry, "all_features", dict)
    assert overview.spend(NOON) == {effective.GLOBAL: overview.Spend(cap=8_000_000)}
    assert overview.month(NOON) == overview.Spend(cap=90_000_000)
    assert page.get(INDEX).status_code == 200


@pytest.mark.parametrize(
    ("spent", "held", "cap", "percent", "colour"),
    [
        (1, 1, 10, "20%", ""),
        (4, 4, 10, "80%", "nearly"),
        (10, 0, 10, "100%", "full"),
        (0, 0, 0, "100%", "full"),
        (5, 0, None, None, ""),
    ],
)
def test_the_bar_shows_the_share_of_the_cap(
    spent: int, held: int, cap: int | None, percent: str | None, colour: str
) -> None:
    bar = cards.spend_bar(overview.Spend(spent, held, cap))
    assert (bar["percent"], bar["colour"]) == (percent, colour)
    assert (bar["bar"] is None) == (cap is None)


def test_the_newest_failures_come_first_and_without_content(aged: MakeJob) -> None:
    for ago in range(12, 0, -1):
        aged(ago * 10, status=Status.FAILED, error_code=f"code{ago}")
    aged(1, status=Status.SUCCEEDED)
    found = overview.latest_failures()
    assert [job.error_code for job in found] == [f"code{n}" for n in range(1, 11)]
    assert {"input", "result"} <= found[0].get_deferred_fields()


class _Links(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get("href") or ""
        if tag == "a" and address.startswith("/admin/aifeature/"):
            self.found.append(address)


def test_every_link_works(page: Client, make_job: MakeJob, make_attempt: MakeAttempt) -> None:
    failed = make_job(status=Status.FAILED)
    make_attempt(failed, state=AttemptState.UNKNOWN)
    waiting = make_job()
    effective.change("summarize", {"killed": True}, reason="Odd.", check_name="test")
    links = _Links(page.get(INDEX).text).found
    assert len(links) > 10
    assert [link for link in links if page.get(link).status_code != 200] == []
    of_failures = next(
        link for link in links if "feature=summarize" in link and "status__exact=failed" in link
    )
    shown = page.get(of_failures).text
    assert str(failed.pk) in shown
    assert str(waiting.pk) not in shown


def test_a_kill_switch_cannot_be_overlooked(page: Client) -> None:
    assert 'class="aif-stop' not in page.get(INDEX).text
    proof.open_to_users("summarize", killed=True, kill_reason="<b>Leak</b>")
    text = page.get(INDEX).text
    assert "Stopped by its kill switch" in text
    assert "&lt;b&gt;Leak&lt;/b&gt;" in text
    assert "<b>Leak</b>" not in text
    assert "Everything is stopped" not in text
    effective.change(effective.GLOBAL, {"killed": True}, reason="r", check_name="t")
    assert "Everything is stopped" in page.get(INDEX).text


def test_text_of_users_and_providers_is_escaped(page: Client, make_job: MakeJob) -> None:
    evil = "<script>alert(1)</script>"
    make_job(status=Status.FAILED, error_code=evil, error_message=evil)
    effective.change("summarize", {"percent": 5}, reason=evil, check_name="t")
    text = page.get(INDEX).text
    assert evil not in text
    assert text.count("&lt;script&gt;alert(1)") >= 3


def test_the_empty_state_is_explained(page: Client) -> None:
    empty = overview.queue(NOON)
    assert (empty.due, empty.waiting, empty.last_call, empty.stuck) == (0, None, None, False)
    text = page.get(INDEX).text
    for sentence in ("no jobs due", "No jobs today.", "No failed jobs."):
        assert sentence in text
    assert "no worker" not in text
    for feature in registry.all_features().values():
        assert feature.title in text


def test_the_page_takes_a_fixed_number_of_queries(
    page: Client,
    make_job: MakeJob,
    make_attempt: MakeAttempt,
    caches_stand_still: None,
) -> None:
    def visit() -> list[str]:
        effective.cache.clear()
        with CaptureQueriesContext(connection) as captured:
            assert page.get(INDEX).status_code == 200
        return [query["sql"] for query in captured.captured_queries]

    make_attempt(make_job(status=Status.FAILED), state=AttemptState.UNKNOWN)
    effective.change("summarize", {"percent": 50}, reason="r", check_name="t")
    one = visit()
    for _ in range(20):
        make_attempt(make_job(status=Status.FAILED), state=AttemptState.UNKNOWN)
        make_job()
        effective.change("summarize", {"percent": _}, reason="r", check_name="t")
    many = visit()
    assert len(many) == len(one) <= 27
    assert not [sql for sql in many if '"aifeature_job"."input"' in sql]


PARTS = {
    "view_job": ("Queued now", "Latest failures", "Jobs today"),
    "view_featurecontrol": ("aif-title",),
    "view_spendwindow": ("Total spend today",),
    "view_attempt": ("Unknown calls",),
    "view_controlchange": ("Latest control changes",),
    "view_guardevent": ("Most flagged users",),
}


@pytest.mark.parametrize("allowed", [None, *PARTS])
def test_each_part_needs_a_permission(staff: Staff, make_job: MakeJob, allowed: str | None) -> None:
    job = make_job(status=Status.FAILED, error_code="secret_code")
    text = staff(*([allowed] if allowed else [])).get(INDEX).text
    for permission, parts in PARTS.items():
        for part in parts:
            if part != "aif-title":
                assert (part in text) == (permission == allowed), part
    assert ("secret_code" in text) == (allowed == "view_job")
    assert (str(job.pk) in text) == (allowed == "view_job")
    assert ("You do not have permission to see any figures" in text) == (allowed is None)


def test_todays_figures_need_a_permission(page: Client, staff: Staff, make_job: MakeJob) -> None:
    make_job()
    address = "/admin/aifeature/featurecontrol/summarize/change/"
    assert "1 queued" in page.get(address).text
    assert "queued" not in staff("view_featurecontrol").get(address).text


def test_cards_are_empty_without_any_permission(rf: RequestFactory, customer: User) -> None:
    visit = rf.get("/")
    visit.user = customer
    assert cards.of_features(visit, NOON) == []


@pytest.mark.parametrize(
    ("micro", "text"),
    [(0, "$0.00"), (50, "<$0.0001"), (6_200, "$0.0062"), (1_234_567_890, "$1,234.57")],
)
def test_money_for_a_glance(micro: int, text: str) -> None:
    assert money(micro) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.02, "20 ms"),
        (4.5, "4.5 s"),
        (59.4, "59 s"),
        (75, "1 min 15 s"),
        (7_500, "2 h 5 min"),
        (180_000, "2 d 2 h"),
    ],
)
def test_spans_for_a_glance(seconds: float, text: str) -> None:
    assert span(seconds) == text
