"""The generator of synthetic requests: deterministic, with the rhythm of working days."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from aifeature.policies import numbers
from project.demo_data import opinions, requests, rhythm, texts
from project.demo_data.requests import World
from project.demo_data.rows import Person, Request
from project.demo_data.story import ANSWER, SLUGS, SUMMARIZE, TRIAGE, Story

NOW = datetime(2026, 11, 30, 14, 5, tzinfo=UTC)
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
DAY = timedelta(days=1)


def world(now: datetime = NOW) -> World:
    people = [Person(pk, f"user-{pk}", 1 / pk) for pk in range(1, 21)]
    places = {each.pk: 5 * each.pk - 1 for each in people}
    return World(Story(now), people, places, lambda user: ("candidate", "live")[user % 2])


def test_requests_follow_the_hours_and_days_of_work() -> None:
    found = list(rhythm.moments(MONDAY, MONDAY + 7 * DAY, per_day=100, rng=random.Random(1)))
    by_day = [sum(at.date() == (MONDAY + n * DAY).date() for at in found) for n in range(7)]
    assert found == sorted(found)
    assert min(by_day[:5]) > 2 * max(by_day[5:])
    assert sum(9 <= at.hour < 16 for at in found) > 5 * sum(at.hour < 7 for at in found)


def test_the_same_moment_gives_the_same_requests() -> None:
    first, again = (requests.generate(world(), days=3, scale=0.2) for _ in range(2))
    assert first == again
    assert first != requests.generate(world(NOW + DAY), days=3, scale=0.2)


def test_requests_are_possible() -> None:
    found = requests.generate(world(), days=14, scale=0.4)
    story = Story(NOW)
    assert {each.feature for each in found} == set(SLUGS)
    for each in found:
        assert _in_order(each), each
        assert each.finished is not None or each.status == "needs_approval"
        assert not (each.feature == SUMMARIZE and story.trip.holds(each.created))
    held = [
        each for each in found if each.started and each.started >= story.trip.ends > each.created
    ]
    assert held, "the switch held the requests that were under way"
    assert any(each.calls[-1].purpose == "escalation" for each in found), "a fallback answered"


def _in_order(request: Request) -> bool:
    times = [request.created, request.started or request.created]
    for call in request.calls:
        times += [call.began, call.ended]
    times.append(request.finished or NOW)
    return times == sorted(times) and times[-1] <= NOW


def test_each_result_fits_its_feature() -> None:
    from aifeature import registry  # noqa: PLC0415 (needs no settings until here)

    for slug in SLUGS:
        feature = registry.get(slug)
        for given, result in texts.pairs(slug):
            value = feature.input_model.model_validate(given)
            output = feature.output_model.model_validate(result)
            assert not (feature.check and list(feature.check(value, output))), slug


@pytest.mark.parametrize("back", range(7))
def test_votes_are_red_and_amber_on_each_day_of_a_week(back: int) -> None:
    now = NOW - back * DAY
    story = Story(now)
    votes = opinions.opinions(story, requests.generate(world(now), days=9))
    week = {
        slug: [v for v in votes if v.request.feature == slug and v.at >= now - 7 * DAY]
        for slug in SLUGS
    }
    levels = {
        slug: numbers.thumbs_down(sum(v.rating < 0 for v in each), len(each)).level
        for slug, each in week.items()
    }
    assert levels == {ANSWER: "red", TRIAGE: "amber", SUMMARIZE: "green"}
