"""The changes that explain a number, and the releases among them."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection

from aifeature.models import ControlChange, Release
from aifeature.models.functions import database_now
from aifeature.services import controls
from aifeature.services.alarms import changes, releases
from aifeature.services.controls import GLOBAL, switch
from tests import proof
from tests.integration.job_rows import make_launch

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

BEGIN = datetime(2026, 11, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def change(field: str, old: str, new: str, **values: object) -> None:
    row = {"feature": "summarize", "at": BEGIN + HOUR, "reason": "Ada asked.", **values}
    ControlChange.objects.create(field=field, old=old, new=new, **row)


def test_all_kinds_of_changes_are_listed_without_names_and_reasons() -> None:
    change("live_prompt", "v3 0a1b", "v4 2c3d", figures={"kind": "activated"}, at=BEGIN)
    change("live_prompt", "v4 2c3d", "v3 0a1b", figures={"kind": "rolled_back"})
    change("stage", "staff", "percent")
    change("beta_users", "1 users", "2 users (+#7)")
    change("rate_override", "", "#7: 1 requests/min")
    change("requests_per_minute", "", "5")
    change("breaker", "automatic", "open", feature="", model="m-1")
    change("killed", "False", "True", feature=GLOBAL)
    change("ramp", "", "5 → 100 %")
    change("access_block", "", "#7")  # of a user
    change("killed", "False", "True", feature="triage")
    change("stage", "staff", "beta", at=BEGIN + 3 * HOUR)  # later
    make_launch(starts_at=BEGIN + HOUR, ends_at=BEGIN + 9 * HOUR)
    make_launch(starts_at=BEGIN - HOUR, ends_at=BEGIN + 9 * HOUR, note="begun before")
    Release.objects.create(name="b", replaces="a", began_at=BEGIN + 2 * HOUR)

    found = changes.between("summarize", BEGIN, BEGIN + 3 * HOUR)
    assert [(each.kind.value, each.text) for each in (found[0], found[-1])] == [
        ("prompt", "Prompt v4 became live"),
        ("deploy", "Release b replaced a"),
    ]
    assert {(each.kind.value, each.feature, each.text) for each in found[1:-1]} == {
        ("prompt", "summarize", "Prompt rolled back to v3"),
        ("stage", "summarize", "Stage: staff → percent"),
        ("stage", "summarize", "Beta users: 1 users → 2 users"),
        ("limit", "summarize", "Rates of a user or a group changed"),
        ("limit", "summarize", "Requests per minute: not set → 5"),
        ("model", "", "Circuit breaker of m-1: automatic → open"),
        ("switch", "", "Kill switch of everything pulled"),
        ("rollout", "summarize", "Ramp: 5 → 100 %"),
        (
            "rollout",
            "summarize",
            "Launch: 3 times the usual, 2026-11-02 01:00 to 2026-11-02 09:00 UTC",
        ),
    }
    everything = changes.between(None, BEGIN, BEGIN + 3 * HOUR)
    assert [each.text for each in everything if each.feature == "triage"] == ["Kill switch pulled"]
    assert len(everything) == len(found) + 1


def test_real_changes_are_found(ada: User, django_assert_max_num_queries: object) -> None:
    proof.open_to_users("summarize")
    controls.change("summarize", {"percent": 40}, reason="r", user_id=ada.pk)
    switch.trip("summarize", check="test", reason="r", figures={})
    switch.release("summarize", reason="r", user_id=ada.pk, percent=20)
    now = database_now()
    with django_assert_max_num_queries(3):  # type: ignore[operator]
        found = changes.between("summarize", now - HOUR, now + HOUR)
    assert [each.text for each in found] == [
        "Stage: off → everyone",
        "Percentage of users: 0 → 40",
        "Kill switch pulled",
        "Kill switch released",
        "Kill switch released for (%): 100 → 20",
    ]


def test_a_deploy_is_a_change_of_release_also_back() -> None:
    added = [releases.record(name) for name in ("a", "a", "b", "b", "a")]
    assert added == [True, False, True, False, True]
    rows = Release.objects.order_by("id").values_list("name", "replaces")
    assert list(rows) == [("a", ""), ("b", "a"), ("a", "b")]


@pytest.mark.django_db(transaction=True)
def test_processes_that_start_together_record_one_release() -> None:
    together = threading.Barrier(3)

    def start() -> None:
        together.wait(timeout=10)
        releases.record("a")
        connection.close()

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Release.objects.count() == 1


def test_a_release_without_a_name_has_a_digest_of_its_files(tmp_path: Path) -> None:
    file = tmp_path / "aifeature" / "features" / "prompt.md"
    file.parent.mkdir(parents=True)
    file.write_text("Summarize.")
    first = releases.digest(tmp_path)
    (tmp_path / "aifeature" / "__pycache__").mkdir()
    (tmp_path / "aifeature" / "__pycache__" / "a.py").write_text("x")
    (tmp_path / "notes.md").write_text("x")
    assert releases.digest(tmp_path) == first
    file.write_text("Summarize it.")
    assert releases.digest(tmp_path) != first
    file.rename(file.with_name("other.md"))
    assert len(releases.digest(tmp_path)) == len(first)
