"""The requests of all users, with their ends. Pure: the same arguments give the same requests."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Final

from aifeature.reasons import FailureCode
from project.demo_data import rhythm, texts
from project.demo_data.calls import LONG, SIZES, Provider, Size
from project.demo_data.rhythm import Share
from project.demo_data.rows import Call, Person, Request
from project.demo_data.story import ANSWER, BEFORE_NOW, SUMMARIZE, TRIAGE, Story

PER_DAY: Final = {ANSWER: 150.0, TRIAGE: 110.0, SUMMARIZE: 84.0}
"""Requests of a working day."""

HAIKU, SONNET, OPUS = "claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"

FAILED: Final = 0.009
REPAIRED: Final = 0.03
FELL_BACK: Final = 0.015
CANCELLED: Final = 0.012
LONG_SHARE: Final = 0.12
APPROVED: Final = 0.02
RUSH: Final = 78
"""Long documents that one user sent before the trip."""

CALM: Final = timedelta(hours=3)
"""Nothing failed in the last hours: with few requests, one failure would make a rate amber."""

UNDECIDED: Final = timedelta(hours=8)
"""Answers of the last hours that need a person still wait for one."""

MODEL_AWAY: Final = f"{HAIKU} takes no call: breaker"

_CODES: Final = (
    FailureCode.OUTPUT_INVALID,
    FailureCode.ANSWER_REFUSED,
    FailureCode.DEADLINE_EXCEEDED,
    FailureCode.OUTPUT_INVALID,
    FailureCode.ANSWER_CUT_OFF,
    FailureCode.PROVIDER_UNAVAILABLE,
)
"""Codes of failed requests, in turn."""


@dataclass(frozen=True, slots=True)
class World:
    """All that the requests depend on."""

    story: Story
    people: Sequence[Person]
    places: Mapping[int, int]
    """By user, their place of `triage`, 0 to 99."""
    arm_of: Callable[[int], str]
    """Returns the arm of a user in the canary of `summarize`."""
    seed: int = 18


def generate(world: World, *, days: int, scale: float = 1.0) -> list[Request]:
    """Return the requests of the last `days` UTC days, of which today is one, oldest first."""
    found: list[Request] = []
    for feature, per_day in PER_DAY.items():
        found += _Feature(world, feature).requests(days, per_day * scale)
    return sorted(found, key=lambda each: (each.created, each.id))


class _Feature:
    """Generates the requests of one feature."""

    def __init__(self, world: World, feature: str) -> None:
        self._world, self._story, self._slug = world, world.story, feature
        self._rng = random.Random(f"{world.seed} {feature}")  # noqa: S311 (synthetic data)
        self._provider = Provider(self._rng, world.story.now)
        self._shares = {name: Share() for name in ("fail", "fix", "fall", "stop", "long", "hold")}
        self._failures = 0

    def requests(self, days: int, per_day: float) -> Iterator[Request]:
        """Yield the requests of the last days."""
        end = self._story.now - BEFORE_NOW
        today = end.replace(hour=0, minute=0, second=0, microsecond=0)
        begin = today - timedelta(days=days - 1)
        for at in rhythm.moments(begin, end, per_day=per_day, rng=self._rng):
            if not (self._slug == SUMMARIZE and self._story.trip.holds(at)):
                request = self._request(at, self._person(at))
                if request.calls[-1].ended < self._story.now:
                    yield request
        if self._slug == SUMMARIZE and begin < self._story.rush.begins:
            yield from self._rush()

    def _rush(self) -> Iterator[Request]:
        person, rush = self._world.people[0], self._story.rush
        for number in range(RUSH):
            at = rush.begins + (rush.ends - rush.begins) * (number + 0.5) / RUSH
            yield self._request(at, person, size=LONG)

    def _person(self, at: datetime) -> Person:
        people = list(self._world.people)
        if self._slug == TRIAGE:
            share = self._story.triage_share(at)
            people = [p for p in people if self._world.places[p.pk] < share] or people
        weights = list(accumulate(each.weight for each in people))
        return self._rng.choices(people, cum_weights=weights)[0]

    def _request(self, at: datetime, person: Person, size: Size | None = None) -> Request:
        is_long = self._slug == SUMMARIZE and self._take("long", LONG_SHARE)
        size = size or (LONG if is_long else SIZES[self._slug])
        held = self._slug == TRIAGE and self._take("hold", APPROVED)
        pairs = texts.pairs(self._slug)
        given, result = (
            texts.high_stakes(self._rng.randrange(3)) if held else self._rng.choice(pairs)
        )
        arm, version = self._version(at, person)
        request = Request(
            id=self._provider.uuid(),
            user=person,
            feature=self._slug,
            version=version,
            created=at,
            started=self._begin(at),
            finished=None,
            status="succeeded",
            input=given,
            arm=arm,
        )
        self._run(request, size)
        if request.status == "succeeded":
            request.result = result
        if held and request.accepted:
            self._await_person(request)
        return request

    def _version(self, at: datetime, person: Person) -> tuple[str, str]:
        """Return the arm and the version of a request."""
        if self._slug == ANSWER:
            return "", "v2" if at >= self._story.answer_changed else "v1"
        if self._slug == TRIAGE:
            return "", "v1"
        if at < self._story.canary_started:
            return "", "v3"
        arm = self._world.arm_of(person.pk)
        return arm, "v4" if arm == "candidate" else "v3"

    def _begin(self, at: datetime) -> datetime:
        """Return when a worker takes a request. A kill switch holds it."""
        begun = at + timedelta(seconds=0.03 + 0.09 * self._rng.expovariate(1.0))
        trip = self._story.trip
        if self._slug == SUMMARIZE and trip.begins - timedelta(seconds=75) < begun < trip.ends:
            return trip.ends + timedelta(seconds=0.2 + 6 * self._rng.random())
        return begun

    def _run(self, request: Request, size: Size) -> None:
        is_outage = self._story.outage.holds(request.created)
        is_calm = request.created > self._story.now - CALM
        if self._take("stop", CANCELLED):
            self._call(request, size)
            request.status, request.cancelled_by = "cancelled", "user"
            request.error_code = FailureCode.CANCELLED
        elif not is_calm and self._take("fail", 4 * FAILED if is_outage else FAILED):
            self._fail(request, size)
        elif is_outage or self._take("fall", FELL_BACK):
            self._fall_back(request, size, in_vain=is_outage and self._slug == ANSWER)
        else:
            self._call(request, size)
            if self._take("fix", REPAIRED):
                self._call(request, size, purpose="repair")
        request.finished = request.calls[-1].ended + timedelta(milliseconds=25)

    def _call(
        self, request: Request, size: Size, *, model: str = "", purpose: str = "generation"
    ) -> Call:
        model = model or (SONNET if size is LONG else HAIKU)
        prompt = (request.feature, request.version)
        call = self._provider.answered(size, prompt, model, self._next(request), purpose=purpose)
        call.reason = "route long" if size is LONG else "route short"
        if self._slug != SUMMARIZE:
            call.reason = "route default"
        request.calls.append(call)
        return call

    def _fall_back(self, request: Request, size: Size, *, in_vain: bool) -> None:
        """Add a call that failed and one to the next model, or a plain answer without a model."""
        first = SONNET if size is LONG else HAIKU
        failed = self._provider.failed(size, first, self._next(request), code="overloaded")
        request.calls.append(failed)
        if in_vain and self._rng.random() < 0.3:  # noqa: PLR2004 (a share)
            second = self._provider.failed(size, SONNET, self._next(request), code="overloaded")
            request.calls.append(second)
            request.degraded = True
            return
        model = OPUS if size is LONG else SONNET
        call = self._call(request, size, model=model, purpose="escalation")
        call.reason = MODEL_AWAY

    def _fail(self, request: Request, size: Size) -> None:
        code = _CODES[self._failures % len(_CODES)]
        self._failures += 1
        request.status, request.error_code = "failed", code
        if code in {FailureCode.PROVIDER_UNAVAILABLE, FailureCode.DEADLINE_EXCEEDED}:
            for model in (HAIKU, SONNET):
                at = self._next(request)
                error = "overloaded" if code == FailureCode.PROVIDER_UNAVAILABLE else "aborted"
                request.calls.append(self._provider.failed(size, model, at, code=error))
            if code == FailureCode.DEADLINE_EXCEEDED:
                request.cancelled_by = "deadline"
            return
        call = self._call(request, size)
        if code == FailureCode.ANSWER_REFUSED:
            call.stop_reason, call.error_code = "refusal", "refused"
        elif code == FailureCode.OUTPUT_INVALID:
            self._call(request, size, purpose="repair")

    def _await_person(self, request: Request) -> None:
        request.approval_reason = "The model says that a person must decide."
        minutes = 8 + 90 * self._rng.expovariate(1.0)
        request.finished = request.calls[-1].ended + timedelta(minutes=minutes)
        if request.finished >= self._story.now - UNDECIDED:
            request.finished, request.status = None, "needs_approval"
        elif self._rng.random() < 0.15:  # noqa: PLR2004 (a share)
            request.status = "rejected"

    def _next(self, request: Request) -> datetime:
        """Return when the next call of a request begins."""
        if not request.calls:
            return (request.started or request.created) + timedelta(milliseconds=18)
        return request.calls[-1].ended + timedelta(milliseconds=60)

    def _take(self, name: str, share: float) -> bool:
        return self._shares[name].takes(share)
