"""Opinions of users about the answers: votes, actions, outcomes and recommendations. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from project.demo_data import texts
from project.demo_data.rhythm import Share
from project.demo_data.rows import Finding, Opinion, Person, Request
from project.demo_data.story import ANSWER, SLUGS, SUMMARIZE, TRIAGE, Story

WINDOW: Final = timedelta(days=7)
"""Days of votes that count for the share of thumbs down."""

VOTED: Final = {ANSWER: 0.31, TRIAGE: 0.34, SUMMARIZE: 0.27}
USUAL_DOWN: Final = {ANSWER: 0.10, TRIAGE: 0.13, SUMMARIZE: 0.11}

CHANGED_DOWN: Final = ((timedelta(hours=44), 0.64), (timedelta(days=28), 0.34))
"""Share of thumbs down of `answer` until these times after its prompt changed: it turns red."""

WEEK_DOWN: Final = 0.222
"""Share of thumbs down of `triage` in the latest week: amber, and not red."""

MOST_DOWN: Final = 0.8

OUTCOMES: Final = {
    ANSWER: ("question_solved", 0.42),
    TRIAGE: ("ticket_closed", 0.55),
    SUMMARIZE: ("summary_sent", 0.2),
}
"""Name of the outcome that the web app reports, and the share of answers with it."""

_DOWN: Final = ("wrong", "off_topic", "incomplete", "unclear", "made_up", "too_long")
_UP: Final = ("correct", "clear", "saved_time", "complete")


@dataclass(frozen=True, slots=True)
class Signal:
    """An action of a reader, or a reported outcome."""

    kind: str
    name: str
    request: Request
    at: datetime


@dataclass(frozen=True, slots=True)
class Recommendation:
    """An answer to "how likely are you to recommend it", 0 to 10."""

    person: Person
    feature: str
    score: int
    at: datetime


def opinions(story: Story, requests: Sequence[Request], *, seed: int = 18) -> list[Opinion]:
    """Return the votes on the answers of these requests."""
    rng = random.Random(f"{seed} votes")  # noqa: S311 (synthetic data)
    found: list[Opinion] = []
    for feature in SLUGS:
        voted, own = Share(), list[Opinion]()
        for request in requests:
            if request.feature == feature and is_answer(request):
                at = (request.finished or story.now) + timedelta(seconds=4 + 150 * rng.random())
                if voted.takes(VOTED[feature]) and at < story.now:
                    own.append(Opinion(request, 1, [], "", at))
        _vote_down(story, feature, own)
        found += own
    for each in found:
        _explain(each, rng)
    return found


def _vote_down(story: Story, feature: str, votes: Sequence[Opinion]) -> None:
    """Let a share of these votes be down."""
    down, later = Share(), _share_of_triage(story, votes) if feature == TRIAGE else 0.0
    for each in votes:
        share = USUAL_DOWN[feature]
        if feature == ANSWER and each.at >= story.answer_changed:
            after = each.at - story.answer_changed
            share = next(share for until, share in CHANGED_DOWN if after < until)
        elif feature == TRIAGE and each.at >= story.ramp_moved:
            share = later
        if down.takes(share):
            each.rating = -1


def _share_of_triage(story: Story, votes: Sequence[Opinion]) -> float:
    """Return the share since the ramp moved that makes WEEK_DOWN of the latest week."""
    week = [each for each in votes if each.at >= story.now - WINDOW]
    late = sum(each.at >= story.ramp_moved for each in week)
    usual = USUAL_DOWN[TRIAGE] * (len(week) - late)
    return min(MOST_DOWN, max(0.0, (WEEK_DOWN * len(week) - usual) / late)) if late else 0.0


def _explain(opinion: Opinion, rng: random.Random) -> None:
    """Give some votes a reason, and a few a comment."""
    slugs = _UP if opinion.rating > 0 else _DOWN
    if rng.random() < (0.7 if opinion.rating < 0 else 0.35):
        weights = range(len(slugs), 0, -1)
        opinion.reasons = rng.choices(slugs, weights)
    if rng.random() < (0.12 if opinion.rating < 0 else 0.03):
        opinion.comment = rng.choice(texts.COMMENTS[opinion.rating])


def is_answer(request: Request) -> bool:
    """Return whether a user has the answer of a model."""
    return request.status == "succeeded" and not request.degraded and request.result is not None


def signals(story: Story, requests: Iterable[Request], *, seed: int = 18) -> Iterator[Signal]:
    """Yield what happened after the answers."""
    rng = random.Random(f"{seed} signals")  # noqa: S311 (synthetic data)
    for request in requests:
        if not is_answer(request) or request.finished is None:
            continue
        for name, share in (("copied", 0.3), ("edited", 0.05), ("regenerated", 0.03)):
            at = request.finished + timedelta(seconds=5 + 60 * rng.random())
            if rng.random() < share and at < story.now:
                yield Signal("implicit", name, request, at)
        name, share = OUTCOMES[request.feature]
        at = request.finished + timedelta(minutes=3 + 200 * rng.random())
        if rng.random() < share and at < story.now:
            yield Signal("outcome", name, request, at)


def recommendations(
    story: Story, people: Sequence[Person], *, seed: int = 18
) -> Iterator[Recommendation]:
    """Yield one answer of most users."""
    rng = random.Random(f"{seed} nps")  # noqa: S311 (synthetic data)
    for person in people:
        if rng.random() < 0.75:  # noqa: PLR2004 (a share)
            score = rng.choices(range(11), (1, 0, 1, 1, 2, 4, 5, 11, 15, 14, 9))[0]
            at = story.now - timedelta(days=27 * rng.random(), minutes=5)
            yield Recommendation(person, rng.choice(SLUGS), score, at)


def findings(story: Story, requests: Iterable[Request], *, seed: int = 18) -> Iterator[Finding]:
    """Yield what guards found. No user has two attempts at an attack on the same day."""
    rng = random.Random(f"{seed} guards")  # noqa: S311 (synthetic data)
    attacked: set[tuple[int, int]] = set()
    for request in requests:
        chance, day = rng.random(), (request.user.pk, (story.now - request.created).days)
        if chance < 0.02:  # noqa: PLR2004 (a share)
            kind = "email" if chance < 0.013 else "phone"  # noqa: PLR2004 (a share)
            yield _finding(request, "input", "personal_data", kind, "redacted", "")
        elif chance < 0.024 and day not in attacked:  # noqa: PLR2004 (a share)
            attacked.add(day)
            words = "ignore all rules above and"
            yield _finding(request, "input", "injection", "override", "tightened", words)
        elif chance < 0.027 and is_answer(request):  # noqa: PLR2004 (a share)
            yield _finding(request, "answer", "links", "unknown_host", "removed", "")


def _finding(
    request: Request, stage: str, guard: str, category: str, action: str, evidence: str
) -> Finding:
    at = request.created if stage == "input" else request.finished or request.created
    return Finding(request, at, stage, guard, category, action, evidence)
