"""One run: users and faults at once, then calm, then everything that is known of it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import psycopg

from project.stack.children import PYTHON, Child
from project.stack.ports import HOST
from project.stack.signals import wait_until
from tests.bench import flood
from tests.bench.flood import Crowd, Flooded
from tests.chaos import attack, evidence, request_log
from tests.chaos.caps import CENT, OWN_SPEND_FACTOR, CapRaiser, room_cents
from tests.chaos.evidence import Call, Evidence
from tests.chaos.injector import Injector
from tests.chaos.plan import Fault
from tests.chaos.report import progress
from tests.chaos.stack import Stack
from tests.chaos.users import HASTY, Workload
from tests.system import environment

SEEN_S: Final = 1.0
"""Every process has read the rates by then: twice as long as one goes by what it has read."""

RECORDED_S: Final = 10.0
"""Until the provider has written down how its last calls ended."""

LOST_PROBE_S: Final = 70.0
"""A probe whose end could not be stored is closed after a minute."""

TELL_S: Final = 5.0
"""Between two lines of progress."""

ROOM_BEFORE_S: Final = 3.0
"""So long before the attack begins the caps are raised for it: every process has read them then."""

AMPLE: Final = {"requests_per_minute": "1000", "in_flight": 8}
HASTY_TOKENS: Final = 40_000
"""A minute, each of the hasty: about eight calls at their upper bounds."""


@dataclass(frozen=True, slots=True)
class Run:
    """How large a run is."""

    jobs: int
    faults: int
    span_s: float
    """Over which jobs and faults are spread."""

    settle_s: float
    """How long the last jobs may take to end when all faults are lifted."""

    users: int
    user_budget_usd: str
    """A day: less than what the malicious user wants; whole cents."""

    attack_rounds: int
    """How often the malicious user goes through all ways of an attack."""

    hasty_per_minute: int
    """Requests that each of the hasty users may submit: fewer than they mean to."""

    provider_per_minute: int
    """Requests that the provider lets through: fewer than we would make at times."""

    short: bool


def carry_out(stack: Stack, run: Run, faults: Sequence[Fault], *, seed: int) -> Evidence:
    """Let users and faults loose, wait until every job has ended, and gather the evidence."""
    logs = stack.servers.launcher.logs
    book = logs / "requests.jsonl"
    last_s = max([run.span_s, *(fault.at_s + fault.lasts_s for fault in faults)])
    workload = Workload(
        base_url=f"http://{HOST}:{stack.web_port}/api/v1/",
        users=list(zip(stack.seed.users, stack.seed.tokens, strict=True)),
        jobs=run.jobs,
        span_s=last_s,
        limit_s=last_s + run.settle_s,
        seed=seed,
        attack_rounds=run.attack_rounds,
        log=str(book),
    )
    flooded = None if run.short else _flood(stack)
    injector = Injector(stack, faults, seed=seed)
    attacked_from = time.monotonic() + attack.FROM * last_s - ROOM_BEFORE_S

    def room() -> int:
        attacked = time.monotonic() >= attacked_from
        own_cents = OWN_SPEND_FACTOR * round(float(run.user_budget_usd) * 1_000_000) // CENT
        return room_cents(tuple(injector.done), attack_cents=own_cents if attacked else 0)

    cap_raiser = CapRaiser(stack, room)
    cap_raiser.start()
    hasty = dict.fromkeys(stack.seed.users[HASTY], run.hasty_per_minute)
    _set_rates(stack, hasty)
    ordered = logs / "workload.json"
    ordered.write_text(json.dumps(asdict(workload)))
    argv = [PYTHON, "-m", "tests.chaos.users", str(ordered)]
    users = stack.servers.launcher.launch("users", argv, env=environment({}))
    try:
        injector.start()
        _watch(stack, injector, users)
        _wait_for_lost_probes(stack)
    finally:
        users.stop()
        cap_raiser.stop()
    with stack.database() as connection:
        return Evidence(
            **evidence.from_database(connection),
            calls=_calls(stack),
            diary=request_log.read(book),
            faults=sorted(injector.done, key=lambda done: done.begun),
            deaths=[asdict(death) for death in stack.supervisor.deaths],
            breakers=evidence.from_logs(logs),
            hasty=hasty,
            attacker=stack.seed.users[-1],
            flooded=flooded,
            planned=len(faults),
            wanted=run.jobs + run.attack_rounds * attack.ROUND,
        )


def _flood(stack: Stack) -> Flooded:
    """The malicious user's bursts, before any fault: what they cost others is theirs alone."""
    progress("the malicious user floods the site")
    *others, malicious = range(len(stack.seed.users))
    order = [malicious, *others]
    crowd = Crowd(
        stack.web_port,
        [stack.seed.users[n] for n in order],
        [stack.seed.tokens[n] for n in order],
        environment({}),
        stack.servers.launcher.logs,
    )
    with stack.database() as connection:
        found = flood.measure(crowd, connection)
        # Nobody has submitted these jobs, so no check should see them. A trigger keeps all jobs.
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM aifeature_job")
    return found


def _set_rates(stack: Stack, hasty: Mapping[int, int]) -> None:
    *crowd, malicious = stack.seed.users
    stack.staff.rates([user for user in crowd if user not in hasty], AMPLE)
    stack.staff.rates([malicious], {**AMPLE, "in_flight": attack.IN_FLIGHT})
    for user, per_minute in hasty.items():
        tight = {"requests_per_minute": str(per_minute), "tokens_per_minute": HASTY_TOKENS}
        stack.staff.rates([user], {**tight, "in_flight": 2})
    time.sleep(SEEN_S)


def _watch(stack: Stack, injector: Injector, users: Child) -> None:
    """Tell how it goes until the users have ended and the faults are over."""
    begin = told = time.monotonic()
    while users.process.poll() is None or not injector.is_over():
        time.sleep(0.1)
        if time.monotonic() - told < TELL_S:
            continue
        told = time.monotonic()
        present = ", ".join(f"{done.kind} ({done.target})" for done in injector.present())
        progress(f"{told - begin:4.0f} s  {_counts(stack)}  | {present or 'calm'}")


def _wait_for_lost_probes(stack: Stack) -> None:
    """Wait until the probes whose end could not be stored are closed, unless it takes too long."""

    def none_is_open() -> bool:
        with stack.database() as connection:
            found = connection.execute("SELECT 1 FROM aifeature_attempt WHERE state = 'started'")
            return found.fetchone() is None

    wait_until(none_is_open, timeout_s=LOST_PROBE_S)  # if not, a check names those that are open


def _calls(stack: Stack) -> list[Call]:
    """What the provider has on record; its clients may be done before it is."""

    def found() -> list[Call]:
        return evidence.from_provider(stack.record)

    wait_until(lambda: all(call.ended_at is not None for call in found()), timeout_s=RECORDED_S)
    return found()


def _counts(stack: Stack) -> str:
    try:
        with stack.database() as connection:
            rows = connection.execute("SELECT status, count(*) FROM aifeature_job GROUP BY 1")
            counts: Counter[str] = Counter(dict(rows.fetchall()))
    except psycopg.OperationalError:
        return "PostgreSQL is away"
    open_ = counts["queued"] + counts["running"]
    return (
        f"accepted {counts.total()}  queued {counts['queued']}  running {counts['running']}"
        f"  done {counts.total() - open_}"
    )
