"""The page of regression runs shows the series of each feature without the extra and scripts."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from evals.admin import series
from evals.models import WeeklyRun
from tests.browser import scenes

pytestmark = pytest.mark.django_db


def test_the_page_draws_each_run_its_lines_and_its_changes(client: Client) -> None:
    scenes.weekly_runs()
    client.force_login(User.objects.create_superuser("root"))
    page = client.get("/admin/evals/weeklyrun/").content.decode()
    chart = page[page.index('<div class="aif-chart"') : page.index("</svg>")]
    assert chart.count("<circle") == 19
    assert chart.count('class="none"') == 1, "the run without a result"
    assert re.findall(r'class="letter"[^>]*>(\w)<', chart) == ["P", "S", "M"]
    assert (chart.count('class="floor"'), chart.count('class="base"')) == (2, 2)
    assert "78.0% pass (72.0% to 82.0%). Regression confirmed." in page
    assert "claude-haiku-5-5-20261101 answered" in page
    other = client.get("/admin/evals/weeklyrun/?feature=triage").content.decode()
    assert "aif-chart" not in other
    assert "No live prompt was evaluated yet." in other


def test_a_higher_rate_is_higher_in_the_chart_and_all_is_within_it() -> None:
    runs = scenes.weekly_runs()
    found = series.of("Summarise", reversed(runs))
    points = found.points
    assert points[5].y < points[4].y, "92 % is above 80 %"
    assert all(found.top <= p.high <= p.y <= p.low <= found.bottom for p in points)
    assert [p.colour for p in points[-2:]] == ["good", "bad"]


def test_a_first_run_under_way_has_a_chart_without_a_cross() -> None:
    run = WeeklyRun.objects.create(feature="triage", version="v1")
    found = series.of("Triage", [run])
    assert (found.line, found.points[0].has_rate) == ("", False)
    assert not found.points[0].is_cross, "a cross means that it ended without a result"
    assert found.summary.endswith("v1: Under way.")
