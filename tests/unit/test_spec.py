"""A specification of a feature is validated."""

from __future__ import annotations

from datetime import date

import pytest
from pydantic import ValidationError

from aifeature.spec import Example, Floor, Route, Scorer, Suite
from tests.unit.test_prompts import Out, feature

SMALL = Route(name="small", models=("small",), up_to_bytes=100)
MEDIUM = Route(name="medium", models=("medium",), up_to_bytes=1000)
ANY = Route(name="large", models=("large",))
GERMAN = Route(name="german", models=("large",), languages=frozenset({"de"}))


def test_routes_with_conditions_come_before_the_one_that_takes_any_job() -> None:
    assert feature(routes=(SMALL, GERMAN, MEDIUM, ANY)).routes[-1] == ANY


@pytest.mark.parametrize(
    ("routes", "problem"),
    [
        ((), "at least 1"),
        ((SMALL,), "without a condition"),
        ((GERMAN,), "without a condition"),
        ((ANY, ANY), "without a condition"),
        ((MEDIUM, SMALL, ANY), "smallest first"),
        ((SMALL, MEDIUM, ANY.model_copy(update={"name": "small"})), "a name of its own"),
    ],
)
def test_routes_that_leave_a_job_out_or_are_out_of_order_are_refused(
    routes: tuple[Route, ...], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        feature(routes=routes)


def test_a_stream_field_must_exist() -> None:
    assert feature(stream_field="answer").stream_field == "answer"
    with pytest.raises(ValidationError, match="no field of the output"):
        feature(stream_field="summary")


def test_a_plain_answer_that_is_offered_must_exist() -> None:
    assert feature(offers_plain=True, plain=lambda value: Out(answer="a")).offers_plain
    with pytest.raises(ValidationError, match="needs a function `plain`"):
        feature(offers_plain=True)


def test_an_example_must_fit_the_input() -> None:
    assert feature(examples=(Example(label="One", input={"text": "a"}),)).examples
    with pytest.raises(ValidationError, match="example 'One'"):
        feature(examples=(Example(label="One", input={"question": "a"}),))


OLD = Floor(least=0.8, since=date(2026, 1, 1))


def test_the_newest_floor_counts() -> None:
    lower = Floor(least=0.7, since=date(2026, 2, 1), reason="The cases became harder.")
    suite = Suite(scorer=Scorer.EXACT, floors={"anthropic": (OLD, lower)})
    assert (suite.floor("anthropic"), suite.floor("sandbox")) == (0.7, None)


@pytest.mark.parametrize(
    ("history", "problem"),
    [
        ((), "at least 1 item"),
        ((OLD, OLD), "floor of sandbox since 2026-01-01 comes after .* the oldest first"),
        ((OLD, Floor(least=0.7, since=date(2026, 2, 1))), "floor of sandbox .* give it a reason"),
    ],
)
def test_a_history_of_floors_has_an_order_and_reasons(
    history: tuple[Floor, ...], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        Suite(scorer=Scorer.EXACT, floors={"sandbox": history})


def test_a_feature_is_frozen() -> None:
    with pytest.raises(ValidationError):
        feature().title = "Other"  # type: ignore[misc]
