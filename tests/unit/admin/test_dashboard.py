"""View models of the dashboard: levels, differences, gaps, marks, order, CSV."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from aifeature.admin.dashboard import boards, breakdown, chart_list, csv_file, numbers_table, stats
from aifeature.admin.dashboard.charts import Chart, Column, place
from aifeature.admin.dashboard.units import NONE, Difference, Tone, Unit, difference
from aifeature.models import HealthReading, Level, UserCostDay
from aifeature.policies.intervals import Share
from aifeature.services.dashboard import ranges
from aifeature.services.dashboard.figures import Figures, Step, total
from aifeature.services.dashboard.present import of_reading
from aifeature.services.dashboard.quality import AuditedWeek, Evaluation
from aifeature.services.numbers.readings import figures as stored
from aifeature.services.numbers.six import Number
from aifeature.services.numbers.sums import Sums
from tests.number_rows import histogram

NOW = datetime(2026, 11, 30, 14, 7, 30, tzinfo=UTC)
BUSY = Sums(ended=200, failed=8, votes=10, votes_down=3, spend_micro=1_920_000)


def everything(_: str) -> bool:
    return True


def number(**values: Any) -> Number:
    defaults: dict[str, Any] = {
        "name": "errors",
        "value": 0.031,
        "threshold": 0.02,
        "level": Level.RED,
        "sample": 400,
        "least": 20,
        "window_s": 3_600,
        "unit": "share",
        "low": 0.02,
        "high": 0.05,
        "begins": NOW - timedelta(hours=1),
        "measured_at": NOW,
    }
    return Number(**{**defaults, **values})


@pytest.mark.parametrize(
    ("unit", "now", "before", "more_is", "expected"),
    [
        (Unit.PERCENT, 3.0, 1.0, "bad", Difference("+2.0 points", "up", "bad")),
        (Unit.PERCENT, 1.0, 3.0, "bad", Difference("-2.0 points", "down", "good")),
        (Unit.PERCENT, 3.0, 0.0, "bad", Difference("+3.0 points", "up", "bad")),
        (Unit.USD, 15.0, 10.0, "", Difference("+50 %", "up", "")),
        (Unit.USD, 0.06, -0.01, "good", Difference("+$0.0700", "up", "good")),
        (Unit.USD, -3.0, 1.0, "good", Difference("-$4.00", "down", "bad")),
        (Unit.SECONDS, 10.0, 10.04, "bad", Difference("no change", "same", "")),
        (Unit.COUNT, 5.0, 0.0, "", Difference()),
        (Unit.COUNT, None, 7.0, "", Difference()),
        (Unit.COUNT, 7.0, None, "", Difference()),
    ],
)
def test_differences(
    unit: Unit, now: float | None, before: float | None, more_is: Tone, expected: Difference
) -> None:
    assert difference(unit, now, before, more_is=more_is) == expected


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        (Unit.COUNT, 999.0, "999"),
        (Unit.COUNT, 416_300.0, "416 k"),
        (Unit.COUNT, 7_140_000.0, "7.1 M"),
        (Unit.PERCENT, 3.14, "3.1 %"),
        (Unit.SECONDS, 0.04, "0.0 s"),
        (Unit.USD, 0.0042, "$0.0042"),
        (Unit.USD, -0.5, "-$0.5000"),
        (Unit.USD, 0.00001, "<$0.0001"),
        (Unit.USD, 12_345.6, "$12,346"),
        (Unit.PERCENT, None, NONE),
    ],
)
def test_values_with_units(unit: Unit, value: float | None, text: str) -> None:
    assert unit.text(value) == text


def test_a_cell_has_its_level_in_words_sample_window_and_since() -> None:
    reading = HealthReading(level=Level.RED, since=NOW - timedelta(minutes=30))
    table = numbers_table.table(
        {"summarize": {each.name: number(name=each.name) for each in numbers_table.METRICS}},
        {("summarize", "errors"): reading},
        NOW,
        may_see=lambda model: model == "job",
        sparks={("summarize", "errors"): [0.0, None, 0.02, 0.04]},
    )
    assert [row.metric.name for row in table.rows] == ["latency", "errors"]
    cell = table.rows[1].cells[0]
    assert (cell.word, cell.value, cell.unit) == ("Red", "3.1", "%")
    notes = [note.replace("\N{NO-BREAK SPACE}", " ") for note in cell.notes]
    assert notes == ["2.0 to 5.0 %", "400 ended requests, 1 h", "since 13:37 UTC"]
    assert cell.spark == "0.0,22.0 66.7,12.0 100.0,2.0"
    assert table.worst == "Numbers: 2 red. You may not see all six."


def test_too_few_data_have_a_level_of_their_own() -> None:
    few = number(level=None, value=None, sample=3, low=None, high=None)
    table = numbers_table.table(
        {"summarize": {each.name: few for each in numbers_table.METRICS}},
        {("summarize", "errors"): HealthReading(level=Level.RED, since=NOW)},
        NOW,
        may_see=lambda model: model == "job",
    )
    cell = table.rows[1].cells[0]
    assert (cell.tone, cell.word, cell.value) == ("none", "Too few data", NONE)
    assert cell.notes[0].startswith("3 of 20 ended requests needed")
    assert table.worst == (
        "No number is red or amber. 2 with too few data. You may not see all six."
    )


def test_a_stored_reading_is_shown_until_it_is_old() -> None:
    row = HealthReading(number="errors", level=Level.RED, figures=stored(number()), measured_at=NOW)
    assert of_reading(row, NOW) == number()
    assert of_reading(row, NOW + timedelta(minutes=3)) is None
    odd: tuple[Any, ...] = ({}, [], {"threshold": 1})
    for broken in odd:
        row.figures = broken
        assert of_reading(row, NOW) is None
    assert of_reading(None, NOW) is None


def test_a_late_check_is_named() -> None:
    assert numbers_table.stale(NOW - timedelta(minutes=4), NOW) == ""
    assert "last ran 10 min 0 s ago" in numbers_table.stale(NOW - timedelta(minutes=10), NOW)
    assert "has not stored any yet" in numbers_table.stale(None, NOW)


@pytest.mark.parametrize("key", ranges.RANGES)
def test_steps_of_a_range_hold_now_and_keep_their_place(key: str) -> None:
    chosen = ranges.of(key)
    begin = chosen.begin(NOW)
    end = begin + chosen.length
    assert end - timedelta(seconds=chosen.step_s) <= NOW < end
    assert begin.timestamp() % chosen.step_s == 0
    assert chosen.steps <= 84
    assert ranges.of("9 years") is ranges.DEFAULT


def figures(*steps: Sums) -> Figures:
    rows = tuple(
        Step(NOW + timedelta(hours=at), sums, Sums(ended=1)) for at, sums in enumerate(steps)
    )
    return Figures(rows, total(steps), total(step.before for step in rows))


def test_a_time_without_votes_is_a_gap() -> None:
    drawn = {each.slug: each for each in chart_list.of_range(figures(BUSY, Sums()), 3_600)}
    thumbs = drawn["satisfaction"].columns[0]
    assert thumbs.values[0] == pytest.approx(30)
    assert thumbs.values[1] is None
    errors = drawn["errors"]
    assert errors.columns[0].values[0] == pytest.approx(4)
    assert errors.columns[0].values[1] is None
    assert errors.labels == ("14:07", "15:07")
    assert errors.has_data
    assert ">-</td>" in errors.body
    empty = chart_list.of_range(figures(Sums()), 3_600)
    assert [each.slug for each in empty if each.slug == "errors" and each.has_data] == []


def test_cost_per_user_is_of_complete_days_with_gaps() -> None:
    first = date(2026, 11, 27)
    rows = [
        UserCostDay(feature=slug, day=first, users=users, spend_micro=1_000_000)
        for slug, users in (("answer", 4), ("triage", 6))
    ]
    chart = chart_list.per_user(rows, first, first + timedelta(days=1))
    assert chart.columns[0].values[0] == pytest.approx(0.2)
    assert chart.columns[0].values[1] is None
    (card,) = stats.per_user(rows, [], everything)
    assert card.value == "$0.2000"
    assert list(stats.per_user(rows, [], lambda _: False)) == []


def test_weekly_series_have_intervals_and_gaps() -> None:
    week = AuditedWeek(date(2026, 11, 23), Share(1, 20), 0)
    chart = chart_list.audits([week, AuditedWeek(date(2026, 11, 30), Share(0, 0), 20)])
    assert [column.values[1] for column in chart.columns[:3]] == [None, None, None]
    (card,) = stats.audited([week], everything)
    assert (card.value, card.unit) == ("5.0", "%")
    assert "1 of 20 labels" in card.note
    runs = [
        Evaluation("answer", "v1", NOW, passed=True, rate=0.9, low=0.8, high=0.95),
        Evaluation("gone", "v1", NOW - timedelta(7), passed=False, rate=None, low=None, high=None),
    ]
    rates = chart_list.evals(runs)
    assert [column.values for column in rates.columns] == [(None, 90.0), (None, None)]
    assert rates.columns[1].title == "gone (no longer in the code)"
    assert not chart_list.evals([]).has_data


def test_the_tone_of_an_hour() -> None:
    quick = histogram(ms_900=100)
    slow = histogram(ms_900=80, ms_12000=20)
    for sums, tone in (
        (Sums(), "none"),
        (Sums(ended=100, failed=1, latency=quick), "good"),
        (Sums(ended=100, failed=4, latency=quick), "doubt"),
        (Sums(ended=100, failed=20, latency=quick), "bad"),
        (Sums(ended=100, slow=6, latency=quick), "doubt"),
        (Sums(ended=100, slow=20, latency=slow), "bad"),
    ):
        assert boards.tone_of(sums) == tone
    shown = boards.tracker("Answer", [(NOW, Sums()), (NOW, BUSY)])
    assert shown.summary == "1 h amber, 1 h no requests"
    assert len(shown.not_green) == 1


def test_the_week_adds_up_hours() -> None:
    found = boards.week([(0, 13, 60, 6), (0, 15, 40, 0), (6, 0, 3, 0)])
    monday, sunday = found["rows"][0]["cols"], found["rows"][6]["cols"]
    assert (monday[3]["value"], monday[3]["subtitle"]) == ("100", "6.0 % errors")
    assert monday[3]["color"].endswith("aif-heat-5")
    assert sunday[0]["color"].endswith("aif-heat-1")
    assert sunday[1] == {"value": "0", "subtitle": ""}


@pytest.mark.parametrize(
    ("sort", "order", "sorted_by"),
    [
        ("", ["a", "b", "c"], "requests"),
        ("-errors", ["b", "a", "c"], "errors"),
        ("errors", ["a", "b", "c"], "errors"),
        ("-name", ["c", "b", "a"], "name"),
        ("nonsense", ["a", "b", "c"], "requests"),
    ],
)
def test_the_breakdown_is_sorted_and_unknown_values_are_last(
    sort: str, order: list[str], sorted_by: str
) -> None:
    found = {
        ("", "a"): Sums(ended=10, failed=1),
        ("", "b"): Sums(ended=5, failed=4),
        ("", "c"): Sums(),
    }
    table = breakdown.table(found, "model", sort, everything)
    assert [name for name, _ in table.rows] == order
    assert [head.slug for head in table.heads if head.sorted] == [sorted_by]
    narrow = breakdown.table(found, "model", "-answer", lambda model: model == "job")
    assert "answer" not in [head.slug for head in narrow.heads]


def test_marks_have_a_place_between_the_points() -> None:
    times = [NOW, NOW + timedelta(hours=1)]
    assert place(NOW + timedelta(minutes=90), times, 3_600) == 1.5
    assert place(NOW - timedelta(seconds=1), times, 3_600) is None
    assert place(NOW + timedelta(hours=3), times, 3_600) is None
    assert place(NOW, [], 3_600) is None


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\tx", "a,b"])
def test_no_cell_of_a_csv_file_is_a_formula(name: str) -> None:
    chart = Chart(*("x", "X", "job", Unit.USD), (name,), (Column(name, (-0.25,), "a"),), first=name)
    head, row = csv_file.text(chart).split("\r\n")[:2]
    for line in (head, row):
        assert not line.lstrip('"').startswith(("=", "+", "-", "@", "\t"))
    assert row.endswith(",-0.25"), "a number is no formula"


def test_text_from_outside_is_escaped_in_a_table() -> None:
    chart = replace(chart_list.per_user([], NOW.date(), NOW.date()), labels=("<b>",))
    assert "<b>" not in chart.body
