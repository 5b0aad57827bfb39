"""Evidence of a small run in which every promise was kept, to be tampered with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.chaos.evidence import Attempt, Call, Cap, Change, Evidence, Job, Window
from tests.chaos.injector import Done
from tests.chaos.request_log import Entry

ANNA, BOB = 1, 2
MODEL = "claude-haiku-5-5"
DONE = "00000000-0000-0000-0000-00000000000a"
"""Succeeded at its second run; the first was killed."""
GONE = "00000000-0000-0000-0000-00000000000b"
"""Cancelled by its user while it waited."""
LOST_CALL, GOOD_CALL = "call-1", "call-2"
LEFT = '"requests";r=29;t=2'
RESULT = {"summary": "Two sentences. In all.", "key_facts": []}
DAY = "2026-11-22"


def evidence() -> Evidence:
    return Evidence(
        jobs=[job(), cancelled_job()],
        attempts=[unknown_attempt(), settled_attempt()],
        windows=[
            Window(
                *("user", f"summarize:{ANNA}", DAY, 130, 0, 1_000, 50_000, -49_000),
                own_spend_micro=130,
                own_over_micro=-99_870,
            ),
            Window("feature", "summarize", DAY, 1_030, 0, 1_900, 2_000, -100),
            Window("global", "", DAY, 1_030, 0, 1_900, 10**9, -(10**6)),
            Window("month", "", "2026-11-01", 1_030, 0, 1_900, 10**9, -(10**6)),
            Window(
                *("account", str(ANNA), DAY, 130, 0, 130, None, 0),
                own_spend_micro=130,
                own_over_micro=-99_870,
            ),
        ],
        changes=changes(),
        calls=[
            Call("req-1", LOST_CALL, 2.1, 5.0, 200, "client_gone", None, usage(), MODEL, usage()),
            Call("req-2", GOOD_CALL, 22.1, 24.0, 200, "completed", None, usage(), MODEL, usage()),
        ],
        requests=requests(),
        caps=[Cap("feature", 0.0, 1_000_000)],
        low_rates={BOB: 2},
        faults=[
            Done(1, "llm_kill", "llm-1", 5.0, 9.0, {"llm-1": 5.0}),
            Done(2, "postgres_crash", "postgres", 40.0, 42.0),
            Done(3, "web_kill", "web", 50.0, 54.0),
        ],
        deaths=[death(5.0, expected=True)],
        planned=3,
        wanted=2,
    )


def death(at: float, *, expected: bool = False, lived_s: float = 120.0) -> dict[str, Any]:
    return {
        "at": at,
        "name": "llm-1",
        "code": -9 if expected else 1,
        "expected": expected,
        "lived_s": lived_s,
        "log": "llm-1.1.log",
    }


def job() -> Job:
    return Job(
        *(DONE, ANNA, "k1", "succeeded", RESULT, "", ""),
        epoch=2,
        tries=1,
        attempts=2,
        charge_micro=130,
        input_tokens=635,
        output_tokens=133,
        worker="llm-2@host",
        created_at=1.0,
        finished_at=24.1,
    )


def cancelled_job() -> Job:
    return Job(
        *(GONE, BOB, "k2", "cancelled", None, "cancelled", "You cancelled this."),
        epoch=0,
        tries=0,
        attempts=0,
        charge_micro=0,
        input_tokens=0,
        output_tokens=0,
        worker="",
        created_at=1.5,
        finished_at=3.0,
    )


def settled_attempt() -> Attempt:
    return replace(
        unknown_attempt(),
        id=GOOD_CALL,
        epoch=2,
        number=2,
        state="settled",
        input_tokens=635,
        output_tokens=133,
        cost_micro=130,
        error_code="",
        started_at=22.0,
        ended_at=24.1,
        own_spend=True,
    )


def unknown_attempt() -> Attempt:
    return Attempt(
        *(LOST_CALL, DONE, ANNA, "summarize"),
        epoch=1,
        number=1,
        purpose="generation",
        model=MODEL,
        state="unknown",
        input_tokens=0,
        output_tokens=0,
        cache_read_tokens=0,
        cache_write_tokens=0,
        cost_micro=0,
        bound_micro=900,
        day=DAY,
        error_code="lease_lost",
        error_detail="",
        started_at=2.0,
        ended_at=21.9,
    )


def changes() -> list[Change]:
    rows: list[tuple[Any, ...]] = [
        # at, tx, thing, id, job, old epoch, epoch, old state, state, old worker, worker, changed
        (1.0, 1, "job", DONE, DONE, None, 0, None, "queued", None, "", []),
        (1.5, 2, "job", GONE, GONE, None, 0, None, "queued", None, "", []),
        (1.9, 3, "job", DONE, DONE, 0, 1, "queued", "running", "", "llm-1@h", ["epoch"]),
        (2.0, 4, "attempt", LOST_CALL, DONE, None, 1, None, "started", None, None, []),
        (3.0, 5, "job", GONE, GONE, 0, 0, "queued", "cancelled", "", "", ["status"]),
        (21.9, 6, "job", DONE, DONE, 1, 2, "running", "running", "llm-1@h", "llm-2@h", ["epoch"]),
        (21.9, 6, "attempt", LOST_CALL, DONE, 1, 1, "started", "unknown", None, None, ["state"]),
        (22.0, 7, "attempt", GOOD_CALL, DONE, None, 2, None, "started", None, None, []),
        (24.1, 8, "job", DONE, DONE, 2, 2, "running", "succeeded", "l", "l", ["status"]),
        (24.1, 8, "attempt", GOOD_CALL, DONE, 2, 2, "started", "settled", None, None, ["state"]),
        (24.1, 8, "job", DONE, DONE, 2, 2, "succeeded", "succeeded", "l", "l", ["charge_micro"]),
    ]
    return [Change(seq, *row) for seq, row in enumerate(rows, 1)]


def requests() -> list[Entry]:
    shown = shown_job(job(), "0.000130")
    gone = shown_job(cancelled_job(), "0.000000")
    return [
        Entry(ANNA, "submit", "k1", 0.9, 1.1, error="ConnectError: refused"),
        Entry(ANNA, "submit", "k1", 1.1, 1.2, DONE, 202, status="queued", left=LEFT),
        Entry(BOB, "submit", "k2", 1.4, 1.6, GONE, 202, status="queued", left=LEFT),
        Entry(
            *(ANNA, "streamed", "k1", 1.3, 5.0, DONE, 200),
            error="ReadError: gone",
            text="Two sent",
            ids=["1-0", "1-4"],
        ),
        Entry(BOB, "cancel", "k2", 2.9, 3.1, GONE, 200, status="cancelled", body=gone),
        Entry(
            *(ANNA, "streamed", "k1", 6.0, 24.2, DONE, 200),
            text="Two sentences. In all.",
            last_event="result",
            ids=["1-8", "2-0", "2-22"],
        ),
        Entry(ANNA, "poll", "k1", 24.3, 24.4, DONE, 200, status="succeeded", body=shown),
        Entry(
            *(ANNA, "poll", "k1", 40.0, 40.1, "", 503),
            problem="database_unavailable",
            retry_after="5",
        ),
        Entry(ANNA, "list", "", 0.0, 60.0, DONE, 200, status="succeeded", body=shown),
    ]


def shown_job(row: Job, cost_usd: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": row.status,
        "result": row.result,
        "attempts": row.attempts,
        "cost_usd": cost_usd,
    }


def usage(*, output: int = 133) -> dict[str, Any]:
    return {
        "input_tokens": 635,
        "output_tokens": output,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
    }


def explained() -> Evidence:
    """The same, with a fault of the web server at its start that explains its first errors."""
    found = evidence()
    found.faults = [replace_begin(found.faults[2], 0.0, 5.0), *found.faults[:2], found.faults[2]]
    found.planned = 4
    return found


def replace_begin(fault: Done, begun: float, ended: float) -> Done:
    return replace(fault, number=0, begun=begun, ended=ended)
