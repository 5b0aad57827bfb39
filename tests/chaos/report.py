"""The results of a run: a table for people, one JSON line for machines."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tests.chaos import timeline
from tests.chaos.caps import ROOM
from tests.chaos.checks import bill, ledger, others, switch
from tests.chaos.checks.http import closed_under
from tests.chaos.checks.rescue import rescues
from tests.chaos.checks.violation import Promise, Violation
from tests.chaos.evidence import Evidence
from tests.chaos.request_log import Action

TIMELINES = 5
"""Violations of each promise that are reported with their timeline."""


def progress(text: str) -> None:
    """Write one line to stderr."""
    sys.stderr.write(f"chaos: {text}\n")
    sys.stderr.flush()


def figures(evidence: Evidence, found: Sequence[Violation], *, seed: int) -> dict[str, Any]:
    """Return the content of the JSON line."""
    broken = Counter(violation.promise for violation in found)
    taken_over = rescues(evidence)
    submitted = {
        (e.user, e.key) for e in evidence.requests if e.action == "submit" and e.http == 202
    }
    return {
        "seed": seed,
        "accepted": len(submitted),
        "lost": broken[Promise.LOST],
        "doubled": broken[Promise.DOUBLED],
        "stale_writes": broken[Promise.STALE],
        "unknown": sum(attempt.state == "unknown" for attempt in evidence.attempts),
        "estimated": sum(attempt.state == "estimated" for attempt in evidence.attempts),
        "phantom_micro": others.phantom_micro(evidence),
        "rescued": len(taken_over),
        "longest_rescue_s": round(max((r.seconds for r in taken_over), default=0.0), 1),
        "ledger_diff_micro": sum(map(abs, ledger.differences(evidence).values())),
        "overshoot_micro": ledger.overshoot_micro(evidence),
        "provider_calls": len(evidence.calls),
        "underbilled": bill.underbilled_micro(evidence),
        "tripped_by_check": len(evidence.trips),
        "leaked_micro": ledger.leaked_micro(evidence),
        "flips": len(evidence.flips),
        "aborted_by_flips": switch.aborted_by_flips(evidence),
        "share_429": _share_429(evidence),
        "faults": dict(sorted(Counter(str(fault.kind) for fault in evidence.faults).items())),
        **_flood(evidence),
        "violations": len(found),
    }


def table(evidence: Evidence, made: dict[str, Any]) -> str:
    """Return the figures with more details."""
    jobs = Counter(job.status for job in evidence.jobs)
    codes = Counter(job.error_code for job in evidence.jobs if job.status == "failed")
    states = Counter(attempt.state for attempt in evidence.attempts)
    actions = Counter(entry.action for entry in evidence.requests)
    errors = Counter(entry.error.partition(":")[0] for entry in evidence.requests if entry.error)
    answers = Counter(entry.http for entry in evidence.requests if entry.http)
    refusals = Counter(entry.problem for entry in evidence.requests if entry.problem)
    whole = max((rescue.whole_seconds for rescue in rescues(evidence)), default=0.0)
    rows: list[tuple[str, str]] = [
        *((name, str(value)) for name, value in made.items() if name != "faults"),
        ("rescue, outages included", f"{whole:.1f} s"),
        ("jobs ended as", _counts(jobs)),
        ("failed as", _counts(codes)),
        ("calls ended as", _counts(states)),
        ("requests", _counts(actions)),
        ("answers", _counts(answers)),
        ("refused as", _counts(refusals)),
        ("waited as", _counts(Counter(evidence.waits))),
        ("breakers opened", _counts(Counter(opened.model for opened in evidence.breakers))),
        ("spend by state, in $", _spend(evidence, None)),
        ("of the malicious user", _spend(evidence, evidence.attacker)),
        ("room left below caps, in $", _room_left(evidence)),
        ("without an answer", _counts(errors)),
        ("closed under a request", str(sum(map(closed_under, evidence.requests)))),
        ("users' process late", f"{_noted_s(evidence, 'late'):.1f} s"),
        ("all cores busy", f"{_noted_s(evidence, 'busy'):.1f} s"),
        ("deaths", _counts(Counter(death["name"] for death in evidence.deaths))),
        ("faults", _counts(Counter(made["faults"]))),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(["", *(f"{name.ljust(width)}  {value}" for name, value in rows), ""])


def violation_report(evidence: Evidence, found: Sequence[Violation]) -> str:
    """Return all violations, the first few of each promise with their timeline."""
    reported: Counter[Promise] = Counter()
    lines = []
    for violation in found:
        reported[violation.promise] += 1
        ids = " ".join(filter(None, [violation.job, violation.attempt]))
        lines.append(f"VIOLATION {violation.promise}: {violation.text} {ids}".rstrip())
        if reported[violation.promise] <= TIMELINES and (violation.job or violation.attempt):
            lines.append(timeline.of(evidence, violation))
    return "\n".join(lines)


def _flood(evidence: Evidence) -> dict[str, float]:
    found = evidence.flooded
    if found is None:
        return {}
    return {
        "calm_p95_ms": round(found.calm_p95_ms, 1),
        "burst_p95_ms": round(found.burst_p95_ms, 1),
    }


def _share_429(evidence: Evidence) -> float:
    """Return the share of calls over the provider's limits, without those of a storm."""
    over = sum(call.status == 429 and call.fault is None for call in evidence.calls)
    return round(over / len(evidence.calls), 4) if evidence.calls else 0.0


def _spend(evidence: Evidence, user: int | None) -> str:
    """Return dollars by the state of the calls, of one user or of all."""
    spend: Counter[str] = Counter()
    for attempt in evidence.attempts:
        if user in {None, attempt.user_id}:
            spend[attempt.state] += attempt.spend_micro
    return _dollars(spend)


def _room_left(evidence: Evidence) -> str:
    """Return the least room that each shared cap had."""
    return _dollars({w.scope: -w.over_micro for w in evidence.windows if w.scope in ROOM})


def _dollars(micro: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {found / 1e6:.3f}" for name, found in sorted(micro.items())) or "-"


def _noted_s(evidence: Evidence, action: Action) -> float:
    return sum(entry.at - entry.begun for entry in evidence.requests if entry.action == action)


def _counts(counter: Counter[Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items(), key=str)) or "-"
