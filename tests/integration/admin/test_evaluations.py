"""Runs of evaluations in admin: their progress, their verdicts, and their reports."""

from __future__ import annotations

import html
import re
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import strip_tags

from evals import cli, report
from evals.harness.drive import Driver
from evals.models import Run, Sample
from tests.integration.admin.conftest import Staff
from tests.unit.evals.test_report import HOSTILE, a_run, a_verdict, case, repeats

LIST = "/admin/evals/run/"
UNDER_WAY: dict[str, Any] = {"state": Run.State.RUNNING, "verdict": None, "ended_at": None}


def stored(letters: str = "ppf", **values: Any) -> Run:
    """Store a run of one case with these outcomes of the candidate. `w` waits for its job."""
    run = a_run(case("first"), **values)
    run.save()
    samples = list(repeats(run, "first", candidate=letters))
    for sample, letter in zip(samples, letters, strict=True):
        sample.output, sample.cost_micro = {HOSTILE: HOSTILE}, 10_000
        if letter == "w":
            sample.state, sample.passed, sample.score = Sample.State.PENDING, None, None
    Sample.objects.bulk_create(samples)
    return run


def address(run: Run, what: str = "change") -> str:
    return reverse(f"admin:evals_run_{what}", args=(run.pk,))


def queries_of(page: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert page.get(path).status_code == 200
    return len(captured.captured_queries)


def rows_of(page: Client, query: str = "") -> list[str]:
    """Return the text of each row of the list."""
    found = re.findall(r"data-row.+?</tbody>", page.get(f"{LIST}{query}").text, re.DOTALL)
    return [" ".join(strip_tags(row.partition(">")[2]).split()) for row in found]


def test_the_list_shows_how_far_a_run_is_and_the_verdict_of_an_ended_one(page: Client) -> None:
    stored("pfuww", **UNDER_WAY)
    assert 'value="3" max="5"' in page.get(LIST).text
    (row,) = rows_of(page)
    for shown in ("v2 against v1", "2 of 5 repeats scored, 1 unscored", "$0.05 of $5.00"):
        assert shown in row
    assert "regression" not in row
    Run.objects.all().delete()
    stored()
    (row,) = rows_of(page)
    for shown in ("3 of 3 repeats scored", "regression", "78.0% (73.0% to 83.0%)"):
        assert shown in row
    one = queries_of(page, LIST)
    for _ in range(5):
        stored(**UNDER_WAY)
    assert queries_of(page, LIST) == one
    chosen = ("verdict__decision=regression", "verdict__decision=pass", "state__exact=running")
    counts = [len(rows_of(page, f"?feature=triage&{each}")) for each in chosen]
    assert counts == [1, 0, 5]


def test_the_page_of_a_run_under_way_is_loaded_again_and_names_the_command(page: Client) -> None:
    run = stored("pw", **UNDER_WAY)
    text = page.get(address(run)).text
    assert f"python -m evals run --resume {run.pk}" in text
    assert "1 of 2 repeats scored" in text
    assert '<noscript><meta http-equiv="refresh"' in text
    assert 'hx-trigger="every' in text
    run.state, run.note = Run.State.STOPPED, "The budget is used up."
    run.save()
    text = page.get(address(run)).text
    assert "The budget is used up." in text
    assert f"--resume {run.pk}" in text
    assert 'hx-trigger="every' not in text


def test_a_run_without_a_driver_differs_from_one_under_way(
    page: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    run = stored("pw", **UNDER_WAY)
    Driver(run).step()
    assert "Abandoned" not in page.get(address(run)).text
    assert "Running" in rows_of(page)[0]
    Run.objects.update(driven_at=Now() - timedelta(seconds=61))
    run.refresh_from_db()
    since = f"o command has worked on it since {run.driven_at:%Y-%m-%d %H:%M} UTC"
    command = f"python -m evals run --resume {run.pk}"
    text = page.get(address(run)).text
    assert f"N{since}." in text
    assert text.count(command) == 1
    assert "Abandoned" in rows_of(page)[0]
    assert cli.main(["list"]) == 0
    assert f"n{since}; continue with: {command}" in capsys.readouterr().out
    Run.objects.update(state=Run.State.STOPPED)
    assert since not in page.get(address(run)).text


def test_the_page_of_an_ended_run_shows_its_stored_verdict(page: Client) -> None:
    run = stored(verdict=a_verdict(flips=0.031))
    text = html.unescape(page.get(address(run)).text)
    assert run.verdict is not None
    for shown in (
        *("Regression: triage v2 must not replace v1.", *run.verdict["reasons"]),
        *("78.0%", "73.0% to 83.0%", "-12.0 points", run.verdict["gate"]["badge"]),
        *("75%", "a prompt with this true rate (78.0%) would fail it in 8% of runs"),
        *("$0.03", "3.1%", address(run, "report")),
    ):
        assert shown in text, shown
    assert "--resume" not in text
    one = queries_of(page, address(run))
    Sample.objects.bulk_create(repeats(run, "second", candidate="p" * 20))
    assert queries_of(page, address(run)) == one


def test_runs_are_for_staff_with_their_permission(client: Client, staff: Staff) -> None:
    run = stored()
    paths = (LIST, address(run), address(run, "report"))
    other, viewer = staff("view_featurecontrol"), staff("view_run")
    for path in paths:
        assert "/login/" in client.get(path)["Location"]
        assert other.get(path).status_code == 403
        assert viewer.get(path).status_code == 200
    assert page_not_found(viewer)
    assert viewer.post(address(run), {"state": "stopped"}).status_code == 403


def page_not_found(client: Client) -> bool:
    found = client.get(f"{LIST}00000000-0000-4000-8000-000000000000/report/").status_code
    return found == client.get(f"{LIST}zebra/report/").status_code == 404


def test_a_report_has_an_origin_of_its_own_and_keeps_hostile_text(page: Client) -> None:
    answer = page.get(address(stored(), "report"))
    policy = [part.strip() for part in answer["Content-Security-Policy"].split(";")]
    assert policy[:2] == ["sandbox allow-scripts", "default-src 'none'"]
    assert not any("'self'" in part or "unsafe" in part for part in policy)
    assert answer["Content-Type"].startswith("text/html")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "alert(" not in answer.text, "outputs are packed"


def test_a_run_of_a_feature_that_the_code_no_longer_has_is_shown(page: Client) -> None:
    run = stored(feature="gone")
    for path in (LIST, address(run), address(run, "report")):
        assert page.get(path).status_code == 200, path


def test_without_the_extra_the_page_names_the_command(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "evals.report.page", raising=False)
    monkeypatch.delattr(report, "page", raising=False)
    run = stored()
    answer = page.get(address(run, "report"), follow=True)
    assert answer.redirect_chain == [(address(run), 302)]
    assert f"`python -m evals report {run.pk}`" in html.unescape(answer.text)
    assert "no package jinja2" in answer.text
