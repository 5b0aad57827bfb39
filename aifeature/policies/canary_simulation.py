"""Simulations of canaries: how often they are wrong, and how soon they are right.

Each user has rates of their own (beta distributed), so that their jobs are alike. Use is heavy
tailed. All of it is repeatable by a seed.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import log, sqrt
from statistics import median
from types import MappingProxyType
from typing import Final, NamedTuple

from aifeature.policies import canary, eprocess
from aifeature.policies.canary import Arm, Metric, Observation
from aifeature.policies.eprocess import Block

Rngs = Iterator[random.Random]

CORRELATION: Final = 0.2
"""Correlation of two jobs of one user."""

TAIL: Final = 1.2
"""Exponent of the Pareto distribution of use."""

RATES: Final = MappingProxyType(
    {
        Metric.ERRORS: 0.02,
        Metric.REFUSALS: 0.03,
        Metric.THUMBS_DOWN: 0.12,
        Metric.SLOW: 0.1,
        Metric.DEAR: 0.1,
        Metric.GUARD_HITS: 0.02,
    }
)
"""The rates of both arms where nothing is wrong."""

RAISED: Final = ((0.0, 10), (0.35, 25), (0.7, 50))
"""A plan of shares: the part of the jobs after which each begins, and its percent."""


@dataclass(frozen=True, slots=True)
class World:
    """A population and its jobs."""

    users: int = 1200
    jobs: int = 6000
    plan: tuple[tuple[float, int], ...] = RAISED


class Job(NamedTuple):
    """One ended job."""

    step: int
    user: int
    arm: Arm
    number: int
    """0 for the first job of the user in this step."""


def jobs(world: World, rng: random.Random) -> Iterator[Job]:
    """Yield the jobs of a population in the order of time."""
    places = [rng.random() * 100 for _ in range(world.users)]
    use = list(accumulate(rng.paretovariate(TAIL) for _ in range(world.users)))
    starts = [start * world.jobs for start, _ in world.plan]
    seen: defaultdict[tuple[int, int], int] = defaultdict(int)
    step = 0
    for i in range(world.jobs):
        if step + 1 < len(starts) and i >= starts[step + 1]:
            step += 1
        user = bisect_left(use, rng.random() * use[-1])
        arm = Arm.CANDIDATE if places[user] < world.plan[step][1] else Arm.LIVE
        yield Job(step, user, arm, seen[step, user])
        seen[step, user] += 1


def rates_of_users(rate: float, users: int, rng: random.Random) -> list[float]:
    """Return a rate for each user, with this mean and the correlation of their jobs."""
    strength = 1 / CORRELATION - 1
    return [rng.betavariate(rate * strength, (1 - rate) * strength) for _ in range(users)]


def is_rolled_back(world: World, rng: random.Random, *, again: bool = False) -> bool:
    """Return whether a canary without harm is rolled back. The check runs after every job.

    `again` counts all users again in each step, for comparison.
    """
    found = list(jobs(world, rng))
    percents = {i: percent for i, (_, percent) in enumerate(world.plan)}
    firsts = [job for job in found if job.number == 0]
    for metric, rate in RATES.items():
        own = rates_of_users(rate, world.users, rng)
        seen = [Observation(j.step, j.user, j.arm, rng.random() < own[j.user]) for j in firsts]
        if again:
            blocks = list(canary.blocks([(each, False) for each in seen], percents))
        else:
            blocks = list(canary.blocks(canary.counted(seen), percents))
        if max(eprocess.log_curve(blocks), default=0.0) >= log(1 / canary.ALPHA[metric]):
            return True
    return False


def is_rolled_back_per_job(world: World, rng: random.Random) -> tuple[bool, bool]:
    """Return whether two tests of the errors of jobs roll back without harm, for contrast.

    The first is a z-test at 2 %, computed after every tenth job of the candidate. The second is
    the e-process with each job as a unit.
    """
    own = rates_of_users(RATES[Metric.ERRORS], world.users, rng)
    share = world.plan[0][1]
    plain = World(world.users, world.jobs, ((0.0, share),))
    ends = [(job.arm, rng.random() < own[job.user]) for job in jobs(plain, rng)]
    units = [(Observation(0, i, arm, harmed), False) for i, (arm, harmed) in enumerate(ends)]
    curve = eprocess.log_curve(canary.blocks(units, {0: share}))
    by_e = max(curve, default=0.0) >= log(1 / canary.ALPHA[Metric.ERRORS])
    return _z_alarm(ends), by_e


def users_until_found(
    metric: Metric, rates: tuple[float, float], percent: int, rng: random.Random, *, most: int
) -> int:
    """Return the users of the candidate until its harm is found, at most `most`.

    `rates` are those of the live version and of the candidate.
    """
    curve = eprocess.log_curve(independent(rates, percent, most, rng))
    limit = log(1 / canary.ALPHA[metric])
    return next((i for i, each in enumerate(curve, 1) if each >= limit), most)


def users_until_promoted(
    rates: tuple[float, float], percent: int, rng: random.Random, *, most: int, look: int = 25
) -> int | None:
    """Return the users of the candidate until a promotion; None if there is none.

    It is not promoted after a roll-back. The figures are read after each `look` users.
    """
    found = independent(rates, percent, most, rng)
    curve = eprocess.log_curve(found)
    limit = log(1 / canary.ALPHA[Metric.ERRORS])
    for users in range(canary.LEAST_USERS, most + 1, look):
        if max(curve[:users]) >= limit:
            return None
        if eprocess.interval(found[:users])[1] < canary.MOST_HARM:
            return users
    return None


def independent(
    rates: tuple[float, float], percent: int, number: int, rng: random.Random
) -> list[Block]:
    """Return blocks of independent users. `rates` are those of live and candidate."""
    live, candidate = rates
    size = eprocess.controls_per_user(percent)
    return [
        Block(int(rng.random() < candidate), sum(rng.random() < live for _ in range(size)), size)
        for _ in range(number)
    ]


def report(runs: int, seed: int) -> Iterator[str]:
    """Yield the figures of the simulations, a line each."""
    world = World()
    plan = ", ".join(f"{percent} %" for _, percent in world.plan)
    yield (
        f"{runs} runs each, seed {seed}. Users have rates of their own (correlation"
        f" {CORRELATION:g}), their use is heavy tailed, and the check runs after every job."
    )
    rate = _share(runs, seed, lambda rng: is_rolled_back(world, rng))
    yield f"False roll-backs, six metrics, share raised ({plan}): {rate:.1%} (aim: at most 5 %)"
    rate = _share(runs, seed, lambda rng: is_rolled_back(world, rng, again=True))
    yield f"  the same, with all users counted again in each step: {rate:.1%}"
    pairs = [is_rolled_back_per_job(world, rng) for rng in rngs(runs, seed)]
    yield f"  per-job z-test of errors at 2 %: {_part([z for z, _ in pairs]):.1%}"
    yield f"  per-job e-test of errors at 2 %: {_part([e for _, e in pairs]):.1%}"
    for metric, rates in _HARMS.items():
        users = [users_until_found(metric, rates, 10, rng, most=2000) for rng in rngs(runs, seed)]
        live, candidate = rates
        aim = " (aim: at most 120)" if metric is Metric.ERRORS else ""
        yield (
            f"{metric.replace('_', ' ')} {live:.0%} -> {candidate:.0%} at 10 %: found after"
            f" {median(users):.0f} users of the candidate in the median{aim}"
        )
    few = max(1, runs // 5)
    bad = [users_until_promoted((0.02, 0.05), 10, rng, most=1500) for rng in rngs(few, seed)]
    yield (
        f"False promotions with a harm of three points in errors, {few} runs:"
        f" {_part([each is not None for each in bad]):.1%} (aim: at most 5 %)"
    )
    for live in (0.005, 0.02):
        good = [users_until_promoted((live, live), 10, rng, most=2500) for rng in rngs(few, seed)]
        needed = sorted(2500 if each is None else each for each in good)
        yield (
            f"Promotion without harm at an error rate of {live:.1%}, {few} runs: after"
            f" {median(needed):.0f} users of the candidate in the median"
        )


_HARMS: Final[Mapping[Metric, tuple[float, float]]] = MappingProxyType(
    {Metric.ERRORS: (0.02, 0.08), Metric.THUMBS_DOWN: (0.12, 0.25)}
)


def _z_alarm(ends: Sequence[tuple[Arm, bool]]) -> bool:
    users, harmed = {Arm.CANDIDATE: 0, Arm.LIVE: 0}, {Arm.CANDIDATE: 0, Arm.LIVE: 0}
    for arm, is_harmed in ends:
        users[arm] += 1
        harmed[arm] += is_harmed
        a, b = users[Arm.CANDIDATE], users[Arm.LIVE]
        if arm == Arm.LIVE or a % 10 or not b:
            continue
        pooled = (harmed[Arm.CANDIDATE] + harmed[Arm.LIVE]) / (a + b)
        error = sqrt(pooled * (1 - pooled) * (1 / a + 1 / b))
        difference = harmed[Arm.CANDIDATE] / a - harmed[Arm.LIVE] / b
        if error and difference / error > 2.054:  # one-sided, 2 %  # noqa: PLR2004
            return True
    return False


def rngs(runs: int, seed: int) -> Rngs:
    """Return the generators of some runs. Each run is repeatable by itself."""
    return (random.Random(f"{seed}:{run}") for run in range(runs))  # noqa: S311 (a simulation)


def _share(runs: int, seed: int, is_true: Callable[[random.Random], bool]) -> float:
    return _part([is_true(rng) for rng in rngs(runs, seed)])


def _part(found: Sequence[bool]) -> float:
    return sum(found) / len(found)
