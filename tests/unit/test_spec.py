"""A specification of a feature is validated."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from aifeature.spec import Route
from tests.unit.test_prompts import feature

SMALL = Route(models=("small",), up_to_bytes=100)
MEDIUM = Route(models=("medium",), up_to_bytes=1000)
ANY = Route(models=("large",))


@pytest.mark.parametrize(
    ("size", "model"), [(0, "small"), (100, "small"), (101, "medium"), (10**9, "large")]
)
def test_the_first_route_that_fits_is_taken(size: int, model: str) -> None:
    assert feature(routes=(SMALL, MEDIUM, ANY)).route(size).models == (model,)


@pytest.mark.parametrize("routes", [(), (SMALL,), (ANY, ANY), (MEDIUM, SMALL, ANY)])
def test_routes_that_leave_a_size_open_or_are_out_of_order_are_refused(
    routes: tuple[Route, ...],
) -> None:
    with pytest.raises(ValidationError):
        feature(routes=routes)


def test_a_stream_field_must_exist() -> None:
    assert feature(stream_field="answer").stream_field == "answer"
    with pytest.raises(ValidationError, match="no field of the output"):
        feature(stream_field="summary")


def test_a_feature_is_frozen() -> None:
    with pytest.raises(ValidationError):
        feature().title = "Other"  # type: ignore[misc]
