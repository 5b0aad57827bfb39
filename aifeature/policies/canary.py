"""The meaning of a canary's figures: the metrics, their tests, and what follows.

`docs/design/canary.md` describes it. `docs/decisions/canary.md` has the reasons for the users that
count.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import log
from types import MappingProxyType
from typing import Final, NamedTuple

from aifeature.policies import eprocess
from aifeature.policies.eprocess import Block


class Arm(StrEnum):
    """The prompt that a user of a canary gets."""

    CANDIDATE = "candidate"
    LIVE = "live"


class Metric(StrEnum):
    """A harm. Each user was harmed or not."""

    ERRORS = "errors"
    REFUSALS = "refusals"
    THUMBS_DOWN = "thumbs_down"
    SLOW = "slow"
    DEAR = "dear"
    GUARD_HITS = "guard_hits"


ALPHA: Final = MappingProxyType(
    {metric: 0.02 if metric is Metric.ERRORS else 0.03 / (len(Metric) - 1) for metric in Metric}
)
"""Probability of a false roll-back by each metric. The sum is 5 %."""

MOST_DAYS: Final = 30
"""Days after which a canary is stopped. Each check reads all of its jobs."""

RATIO_ALPHA: Final = 0.001
"""Probability of a false alarm of the sample-ratio check."""

LEAST_USERS: Final = 200
"""Users of the candidate before a promotion."""

LEAST_S: Final = 86_400.0
"""Seconds since the start, and seconds during which the check ran, before a promotion."""

MOST_HARM: Final = 0.02
"""The upper end of the interval of harm in errors is below this at a promotion: two points."""


class Observation(NamedTuple):
    """One user in one step, for one metric."""

    step: int
    user: int
    arm: Arm
    harmed: bool


@dataclass(frozen=True, slots=True)
class Tally:
    """Users of one arm."""

    users: int = 0
    harmed: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """One metric of a canary at one moment."""

    metric: Metric
    candidate: Tally
    live: Tally
    blocks: tuple[Block, ...]
    curve: tuple[float, ...]
    """The natural logarithm of the e-value after each block."""

    @property
    def log_threshold(self) -> float:
        return log(1 / ALPHA[self.metric])

    @property
    def log_highest(self) -> float:
        """The logarithm of the highest e-value so far: it decides, at any time of the check."""
        return max(self.curve, default=0.0)

    @property
    def is_alarm(self) -> bool:
        return self.log_highest >= self.log_threshold


@dataclass(frozen=True, slots=True)
class Figures:
    """All that decides about a canary."""

    readings: Mapping[Metric, Reading]
    users: int
    """Users of the candidate in blocks of the metric `errors`."""
    harm: tuple[float, float]
    """The interval of the difference of the error rates, candidate less live."""
    log_ratio: float
    """The logarithm of the e-value of the sample-ratio check."""

    @property
    def alarms(self) -> list[Reading]:
        return [each for each in self.readings.values() if each.is_alarm]

    @property
    def is_split_wrong(self) -> bool:
        return self.log_ratio >= log(1 / RATIO_ALPHA)


def counted(observations: Iterable[Observation]) -> Iterator[tuple[Observation, bool]]:
    """Yield the observations that count, each with whether its user was seen in an earlier step.

    They are in the order of time, with one per user and step. A user counts as one of the live
    version in each step, and as one of the candidate once: what happened to them as a candidate
    would count twice in a product over steps. After that they are not compared any more.
    """
    steps: dict[int, int] = {}
    candidates: set[int] = set()
    for each in observations:
        if each.user in candidates:
            continue
        first = steps.setdefault(each.user, each.step)
        if each.arm == Arm.CANDIDATE:
            candidates.add(each.user)
        yield each, first < each.step


def blocks(
    observations: Iterable[tuple[Observation, bool]], percents: Mapping[int, int]
) -> Iterator[Block]:
    """Yield the complete blocks in the order in which they were completed.

    A block has users of one step who were all seen before, or all not: the two kinds of users are
    comparable only among themselves. A user of the candidate gets the newest live users, so that an
    outage, which hits both at the same time, is in both parts of its blocks. `percents` has the
    share of each step by its id.
    """
    waiting: defaultdict[tuple[int, bool], tuple[deque[bool], list[bool]]] = defaultdict(
        lambda: (deque(), [])
    )
    for each, was_seen in observations:
        candidates, live = waiting[each.step, was_seen]
        (candidates if each.arm == Arm.CANDIDATE else live).append(each.harmed)
        size = eprocess.controls_per_user(percents[each.step])
        if candidates and len(live) >= size:
            harmed = sum(live.pop() for _ in range(size))
            yield Block(int(candidates.popleft()), harmed, size)


def read(
    metric: Metric, observations: Iterable[Observation], percents: Mapping[int, int]
) -> Reading:
    """Return a metric's reading from its observations in the order of time."""
    used = list(counted(observations))
    found = tuple(blocks(used, percents))
    return Reading(
        metric,
        _tally(used, Arm.CANDIDATE),
        _tally(used, Arm.LIVE),
        found,
        tuple(eprocess.log_curve(found)),
    )


def log_ratio(users: Iterable[Observation], percents: Mapping[int, int]) -> float:
    """Return the logarithm of the e-value that the split of users does not fit the shares.

    `users` has one observation per user and step, in the order of time. Only the first of each user
    counts, since their place does not change. The e-values of the steps multiply.
    """
    counts: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    known: set[int] = set()
    for each in users:
        if each.user not in known:
            known.add(each.user)
            counts[each.step][each.arm == Arm.LIVE] += 1
    return sum(
        eprocess.log_ratio_e_value(candidate, live, percents[step])
        for step, (candidate, live) in sorted(counts.items())
    )


def figures(
    observations: Mapping[Metric, Sequence[Observation]],
    users: Iterable[Observation],
    percents: Mapping[int, int],
) -> Figures:
    """Return all figures of a canary. A metric without an entry is not tested."""
    readings = {metric: read(metric, each, percents) for metric, each in observations.items()}
    errors = readings[Metric.ERRORS].blocks
    return Figures(readings, len(errors), eprocess.interval(errors), log_ratio(users, percents))


def missing(found: Figures, *, age_s: float, watched_s: float) -> list[str]:
    """Return what a promotion lacks, a sentence each; empty if the figures permit it.

    `age_s` is the time since the start, and `watched_s` the part of it during which the check ran.
    """
    lacks = [
        f"The test of {each.metric.replace('_', ' ')} is above its threshold."
        for each in found.alarms
    ]
    if found.is_split_wrong:
        lacks.append("The numbers of users do not fit the share.")
    if found.users < LEAST_USERS:
        lacks.append(f"{found.users} of {LEAST_USERS} users of the candidate were compared.")
    if min(age_s, watched_s) < LEAST_S:
        lacks.append(
            f"It has run for {age_s / 3600:.1f} hours, and was checked during"
            f" {watched_s / 3600:.1f} of them: 24 are needed."
        )
    if found.harm[1] >= MOST_HARM:
        end = "not known" if found.harm[1] >= 1 else f"{100 * found.harm[1]:.1f} points"
        lacks.append(
            f"The upper end of the harm in errors is {end}: less than {100 * MOST_HARM:.0f} are"
            " needed."
        )
    return lacks


def _tally(used: Iterable[tuple[Observation, bool]], arm: Arm) -> Tally:
    harmed = [each.harmed for each, _ in used if each.arm == arm]
    return Tally(len(harmed), sum(harmed))
