"""Choice of a feature's route for one job: a pure decision with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from aifeature.spec import Route


@dataclass(frozen=True, slots=True)
class Facts:
    """Properties of a job that routes may depend on.

    Expensive ones are functions. They are called only if a route depends on them.
    """

    prompt_bytes: int
    """Size of the user turn in UTF-8 bytes."""

    stage: str
    """Stage of the feature."""

    language: Callable[[], str]
    """Returns the language of the input (ISO 639-1); empty if it is unclear."""

    budget_share: Callable[[], float]
    """Returns the share of the user's budget for the day that is left, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A route and the reason for it."""

    route: Route
    reason: str


def choose(routes: Sequence[Route], facts: Facts) -> Choice:
    """Return the first route whose conditions all hold. The last one has none."""
    missed: list[str] = []
    for route in routes:
        held: list[str] = []
        for holds, words in _conditions(route, facts):
            if not holds:
                missed.append(words)
                break
            held.append(words)
        else:
            why = held or missed or ["the only one"]
            return Choice(route, f"route {route.name}: {', '.join(why)}")
    raise AssertionError("the last route takes any job")  # validated by Feature


def _conditions(route: Route, facts: Facts) -> Iterator[tuple[bool, str]]:
    """Yield for each condition of a route whether it holds, and the fact in words."""
    if route.up_to_bytes is not None:
        size, limit = facts.prompt_bytes, route.up_to_bytes
        holds = size <= limit
        yield holds, f"{size:,} bytes are {'within' if holds else 'above'} {limit:,}"
    if route.stages:
        yield facts.stage in route.stages, f"stage {facts.stage}"
    if route.languages:
        language = facts.language()
        yield language in route.languages, f"language {language or 'unclear'}"
    if route.below_budget_share is not None:
        share = facts.budget_share()
        yield share < route.below_budget_share, f"{share:.0%} of the user's budget left"
