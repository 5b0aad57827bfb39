"""`python -m tests.chaos.users FILE`: all users of a run, in a process of their own.

The file holds one JSON object (see `Workload`). The process ends when every accepted job has ended,
or at its limit.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tests.chaos.attack import attack
from tests.chaos.client import Client, User
from tests.chaos.request_log import RequestLog, now
from tests.chaos.scenario import Runner, Scenario

HEAVY_SHARE: Final = 0.2
"""Share of all jobs that the first user submits."""

HASTY: Final = slice(1, 4)
"""These users submit their jobs in half of the time, and have low rates."""

CHECK_S: Final = 0.25
LATE_S: Final = 1.0

BUSY_EVERY_S: Final = 1.0
BUSY_SHARE: Final = 0.9
"""The machine counts as busy above this share of the time of all cores."""

_SUBJECTS = ("The invoice", "Our help desk", "Anna Berg", "Tom Weiß", "The course", "Die Prüfung")
_DEEDS = (
    "was sent on 3 March",
    "asked for a refund of 49 euros",
    "answered within 2 days",
    "found the error in form 7",
    "moved to room 12 — for now",
    "stays valid for two years",
)
_ENDS = (
    "and nobody minded.",
    "since the bank said so.",
    "as agreed.\u2028",
    "says ticket 48213.",
    "which pleased 学生 and 👩‍🏫 alike.",
    "at least until May.",
)


@dataclass(frozen=True, slots=True)
class Workload:
    base_url: str
    """Address of the API, with a slash at its end."""

    users: Sequence[tuple[int, str]]
    """Id and token of each; the last user is malicious."""

    jobs: int
    span_s: float
    """Seconds over which the jobs are spread."""

    limit_s: float
    """Seconds after which the users give up."""

    seed: int
    attack_rounds: int
    log: str
    """Path of the request log."""


def scenarios(workload: Workload) -> list[tuple[User, Scenario]]:
    """Return the scenarios of all users: a function of the workload."""
    dice = random.Random(workload.seed)
    *users, malicious = [User(*user) for user in workload.users]
    hasty = users[HASTY]
    times = sorted(dice.uniform(0.0, workload.span_s) for _ in range(workload.jobs))
    made = []
    for n, at_s in enumerate(times):
        heavy = dice.random() < HEAVY_SHARE
        cancels = dice.random() < 0.06
        user = users[0] if heavy else dice.choice(users[1:])
        pace = 0.6 if heavy else 0.5 if user in hasty else 1.0
        scenario = Scenario(
            key=f"{workload.seed}-{n}",
            document=_document(dice),
            at_s=at_s * pace,
            streams=dice.random() < 0.34,
            long_polls=dice.random() < 0.6,
            cancel_at="later" if cancels else "",
            cancel_after_s=dice.expovariate(0.5) if cancels else None,
            replays=dice.random() < 0.05,
            conflicts=dice.random() < 0.01,
        )
        made.append((user, scenario))
    attacks = attack(seed=workload.seed, rounds=workload.attack_rounds, span_s=workload.span_s)
    return made + [(malicious, scenario) for scenario in attacks]


def _document(dice: random.Random) -> str:
    sentences = (
        " ".join(map(dice.choice, (_SUBJECTS, _DEEDS, _ENDS))) for _ in range(dice.randint(3, 9))
    )
    return f"Ticket {dice.randrange(100_000)}. " + " ".join(sentences)


async def _all(workload: Workload) -> None:
    dice = random.Random(workload.seed + 1)
    client = Client(workload.base_url, RequestLog(Path(workload.log)), dice)
    runner = Runner(client, dice)
    loop = asyncio.get_running_loop()
    begin = loop.time()

    async def later(user: User, scenario: Scenario) -> None:
        await asyncio.sleep(begin + scenario.at_s - loop.time())
        await runner.run(user, scenario)

    user = User(*workload.users[0])
    notes = [asyncio.create_task(note(client, user)) for note in (_note_lateness, _note_busy)]
    with suppress(TimeoutError):
        async with asyncio.timeout(workload.limit_s):
            await asyncio.gather(*(later(*scenario) for scenario in scenarios(workload)))
            await asyncio.gather(*(_history(client, User(*user)) for user in workload.users))
    for task in notes:
        task.cancel()
    await client.close()


async def _note_lateness(client: Client, user: User) -> None:
    """Log when this process was too slow for its log to count."""
    while True:
        begun = now()
        await asyncio.sleep(CHECK_S)
        if now() - begun > CHECK_S + LATE_S:
            client.note(user, "late", "", begun)


async def _note_busy(client: Client, user: User) -> None:
    """Log when the machine had no CPU time left. Processes with a nice value do not count."""
    while True:
        begun, before = now(), psutil.cpu_times()
        await asyncio.sleep(BUSY_EVERY_S)
        spent = [b - a for a, b in zip(before, psutil.cpu_times(), strict=True)]
        took = dict(zip(before._fields, spent, strict=True))
        left = took["idle"] + took["nice"] + took.get("iowait", 0.0)
        if left <= (1 - BUSY_SHARE) * sum(spent):
            client.note(user, "busy", "", begun)


async def _history(client: Client, user: User) -> None:
    """Log all jobs of a user, at the end of the run."""
    path: str | None = "jobs?limit=100"
    while path is not None:
        answer = await client.request(user, "list", "", "GET", path)
        if answer.http != 200:
            return
        for job in answer.body["items"]:
            client.note(
                user, "list", "", 0.0, job=job["id"], http=200, status=job["status"], body=job
            )
        following = answer.body["next"]
        path = following and following.removeprefix("/api/v1/")


def main() -> None:
    asyncio.run(_all(Workload(**json.loads(Path(sys.argv[1]).read_text()))))


if __name__ == "__main__":
    main()
