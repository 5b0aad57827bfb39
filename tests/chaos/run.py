"""One run: users and faults together, a quiet time, then the evidence."""

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
"""Until every process has read the rates: twice the life of its cache."""

RECORDED_S: Final = 10.0
"""Until the provider has recorded the end of its last calls."""

LOST_PROBE_S: Final = 70.0
"""A probe whose end was not stored is closed after a minute."""

PROGRESS_S: Final = 5.0
"""Seconds between two lines of progress."""

ROOM_BEFORE_S: Final = 3.0
"""Seconds between raising the caps and the attack, so that every process has read them."""

AMPLE: Final = {"requests_per_minute": "1000", "in_flight": 8}
HASTY_TOKENS: Final = 40_000
"""Tokens a minute of each hasty user: about eight calls at their bounds."""


@dataclass(frozen=True, slots=True)
class Run:
    """The size of a run."""

    jobs: int
    faults: int
    span_s: float
    """Time over which jobs and faults are spread."""

    settle_s: float
    """Time for the last jobs to end after the last fault."""

    users: int
    user_budget_usd: str
    """Budget of a day, in whole cents: less than the malicious user tries to spend."""

    attack_rounds: int
    """Number of turns of the malicious user through all ways of an attack."""

    hasty_per_minute: int
    """Requests that each hasty user may submit: fewer than they try."""

    provider_per_minute: int
    """Requests that the provider accepts: at times fewer than we would make."""

    short: bool


def carry_out(stack: Stack, run: Run, faults: Sequence[Fault], *, seed: int) -> Evidence:
    """Run users and faults, wait until every job has ended, and collect the evidence."""
    logs = stack.servers.launcher.logs
    log = logs / "requests.jsonl"
    last_s = max([run.span_s, *(fault.at_s + fault.lasts_s for fault in faults)])
    workload = Workload(
        base_url=f"http://{HOST}:{stack.web_port}/api/v1/",
        users=list(zip(stack.seed.users, stack.seed.tokens, strict=True)),
        jobs=run.jobs,
        span_s=last_s,
        limit_s=last_s + run.settle_s,
        seed=seed,
        attack_rounds=run.attack_rounds,
        log=str(log),
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
    workload_file = logs / "workload.json"
    workload_file.write_text(json.dumps(asdict(workload)))
    argv = [PYTHON, "-m", "tests.chaos.users", str(workload_file)]
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
            requests=request_log.read(log),
            faults=sorted(injector.done, key=lambda done: done.begun),
            deaths=[asdict(death) for death in stack.supervisor.deaths],
            breakers=evidence.from_logs(logs),
            low_rates=hasty,
            attacker=stack.seed.users[-1],
            flooded=flooded,
            planned=len(faults),
            wanted=run.jobs + run.attack_rounds * attack.ROUND,
        )


def _flood(stack: Stack) -> Flooded:
    """Measure the bursts of the malicious user before any fault, so that they alone count."""
    progress("the malicious user floods the site")
    crowd = Crowd(
        *(stack.web_port, stack.seed.users, stack.seed.tokens),
        *(environment({}), stack.servers.launcher.logs),
    )
    with stack.database() as connection:
        found = flood.measure(crowd, connection)
        # No user has submitted these jobs, so no check may see them. A trigger forbids deletion.
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
    """Report progress until the users have ended and the faults are over."""
    begin = reported = time.monotonic()
    while users.process.poll() is None or not injector.is_over():
        time.sleep(0.1)
        if time.monotonic() - reported < PROGRESS_S:
            continue
        reported = time.monotonic()
        present = ", ".join(f"{done.kind} ({done.target})" for done in injector.present())
        progress(f"{reported - begin:4.0f} s  {_counts(stack)}  | {present or 'calm'}")


def _wait_for_lost_probes(stack: Stack) -> None:
    """Wait until the probes whose end was not stored are closed, up to a limit."""

    def none_is_open() -> bool:
        with stack.database() as connection:
            found = connection.execute("SELECT 1 FROM aifeature_attempt WHERE state = 'started'")
            return found.fetchone() is None

    wait_until(none_is_open, timeout_s=LOST_PROBE_S)  # a check reports those that stay open


def _calls(stack: Stack) -> list[Call]:
    """Return the provider's record. Its calls may end later than at its clients."""

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
        return "PostgreSQL is down"
    open_ = counts["queued"] + counts["running"]
    return (
        f"accepted {counts.total()}  queued {counts['queued']}  running {counts['running']}"
        f"  done {counts.total() - open_}"
    )
