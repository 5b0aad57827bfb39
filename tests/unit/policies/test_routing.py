"""A job takes the first route whose conditions hold, and the reason states the facts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aifeature.policies.routing import Facts, choose
from aifeature.spec import Route


def never() -> str:
    raise AssertionError("no route depends on it")


FACTS = Facts(prompt_bytes=500, stage="everyone", language=never, budget_share=lambda: 1.0)
TOO_LONG = "2,001 bytes are above 1,000, 2,001 bytes are above 2,000"
ANY = Route(models=("any",))
ROUTES = (
    Route(name="tried", models=("a",), stages=frozenset({"staff"})),
    Route(name="short", models=("a",), up_to_bytes=1_000, below_budget_share=0.25),
    Route(name="german", models=("a",), up_to_bytes=2_000, languages=frozenset({"de"})),
    ANY,
)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"stage": "staff", "language": never}, "route tried: stage staff"),
        (
            {"budget_share": lambda: 0.2, "language": never},
            "route short: 500 bytes are within 1,000, 20% of the user's budget left",
        ),
        (
            {"language": lambda: "de"},
            "route german: 500 bytes are within 2,000, language de",
        ),
        (
            {"language": lambda: ""},
            "route default: stage everyone, 100% of the user's budget left, language unclear",
        ),
        (
            {"prompt_bytes": 2_001},
            f"route default: stage everyone, {TOO_LONG}",
        ),
    ],
)
def test_the_first_route_that_fits_is_taken(facts: dict[str, object], reason: str) -> None:
    choice = choose(ROUTES, replace(FACTS, **facts))  # type: ignore[arg-type]
    assert choice.reason == reason
    assert choice.route.name == reason.removeprefix("route ").partition(":")[0]


def test_a_size_within_the_limit_includes_the_limit() -> None:
    routes = (Route(name="short", models=("a",), up_to_bytes=500), ANY)
    assert choose(routes, FACTS).route.name == "short"
    assert choose(routes, replace(FACTS, prompt_bytes=501)).route.name == "default"


def test_the_only_route_needs_no_fact() -> None:
    assert choose((ANY,), FACTS).reason == "route default: the only one"
