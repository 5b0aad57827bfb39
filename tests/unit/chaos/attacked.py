"""The honest run with a malicious user in it, who read an answer to its last word and cancelled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.chaos.evidence import Attempt, Call, Change, Evidence, Job, Window
from tests.chaos.request_log import Entry
from tests.unit.chaos.honest import DAY, LEFT, explained, shown_job, unknown_attempt, usage

MALLORY = 3
TAKEN = "00000000-0000-0000-0000-00000000000c"
"""Cancelled by its user when all of its text was on the screen."""
CUT_CALL = "call-3"
SONNET = "claude-sonnet-5-5"
TEXT = "All of it is here, and it is long enough to be worth a lot of money. This is its last word."
CHARGE = 100_230
"""50,000 tokens of input and one for each four bytes of the text."""
CEILING = 110_240
"""50,000 tokens of input and 1,024 of output."""
CAP = 400_000
"""Of the user's own spend."""


def attacked() -> Evidence:
    found = explained()
    found.attacker = MALLORY
    found.wanted += 1
    found.jobs = [*found.jobs, taken_job()]
    found.attempts = [*found.attempts, cut_attempt()]
    # The provider bills the cut stream in full.
    bill = {**usage(output=190), "input_tokens": 50_000}
    call = Call("req-3", CUT_CALL, 31.0, 36.0, 200, "client_gone", None, bill, SONNET, bill)
    found.calls = [*found.calls, call]
    found.changes = [*found.changes, *changes(len(found.changes))]
    found.requests = [*found.requests, *requests()]
    shared = [
        replace(w, spent_micro=w.spent_micro + CEILING) if w.scope in SHARED else w
        for w in found.windows
    ]
    found.windows = [*shared, *own_windows()]
    return found


SHARED = frozenset({"feature", "global", "month"})


def own_windows() -> list[Window]:
    own = {"own_spend_micro": CEILING, "own_over_micro": CEILING - CAP}
    key = f"summarize:{MALLORY}"
    return [
        Window("user", key, DAY, CHARGE, 0, 600_000, 200_000, -1, **own),
        Window("account", str(MALLORY), DAY, CHARGE, 0, 600_000, None, 0, **own),
    ]


def taken_job() -> Job:
    return Job(
        *(TAKEN, MALLORY, "k3", "cancelled", None, "cancelled", "You cancelled this request."),
        epoch=1,
        tries=0,
        attempts=1,
        charge_micro=CHARGE,
        input_tokens=0,
        output_tokens=0,
        worker="llm-1@host",
        created_at=30.0,
        finished_at=36.0,
        cancelled_by="user",
        partial_text=TEXT,
    )


def cut_attempt() -> Attempt:
    return replace(
        unknown_attempt(),
        id=CUT_CALL,
        job=TAKEN,
        user_id=MALLORY,
        model=SONNET,
        state="estimated",
        cost_micro=CEILING,
        bound_micro=513_000,
        error_code="cancelled",
        started_at=31.0,
        ended_at=36.0,
        own_spend=True,
    )


def changes(count: int) -> list[Change]:
    rows: list[tuple[Any, ...]] = [
        # at, tx, thing, id, job, old epoch, epoch, old state, state, old worker, worker, changed
        (30.0, 20, "job", TAKEN, TAKEN, None, 0, None, "queued", None, "", []),
        (30.5, 21, "job", TAKEN, TAKEN, 0, 1, "queued", "running", "", "llm-1@h", ["epoch"]),
        (31.0, 22, "attempt", CUT_CALL, TAKEN, None, 1, None, "started", None, None, []),
        (36.0, 23, "attempt", CUT_CALL, TAKEN, 1, 1, "started", "estimated", None, None, ["state"]),
        (36.0, 23, "job", TAKEN, TAKEN, 1, 1, "running", "cancelled", "l", "l", ["status"]),
    ]
    return [Change(count + number, *row) for number, row in enumerate(rows, 1)]


def requests() -> list[Entry]:
    shown = shown_job(taken_job(), "0.100230")
    return [
        Entry(MALLORY, "submit", "k3", 29.9, 30.1, TAKEN, 202, status="queued", left=LEFT),
        Entry(MALLORY, "cancel", "k3", 35.8, 35.9, TAKEN, 200, status="running"),
        Entry(
            *(MALLORY, "streamed", "k3", 30.1, 36.1, TAKEN, 200),
            text=TEXT,
            last_event="error",
            ids=["1-0", f"1-{len(TEXT)}"],
        ),
        Entry(MALLORY, "poll", "k3", 36.1, 36.2, TAKEN, 200, status="cancelled", body=shown),
    ]
