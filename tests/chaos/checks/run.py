"""The run itself: it did what it was to do, so that the other checks prove something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.chaos.checks.rescue import OUTAGES
from tests.chaos.checks.violation import Promise, Violation
from tests.chaos.client import GIVE_UP
from tests.chaos.evidence import Evidence
from tests.chaos.injector import ENDS_S
from tests.chaos.plan import DOWN

START_S: Final = 90.0
"""A process that has lived no longer may still be starting, on a busy machine."""


SEVERAL: Final = 2
LONG_S: Final = 60.0
"""A provider that was down for so long in all must have opened the breakers of several models."""


def everything_was_done(evidence: Evidence) -> Iterator[Violation]:
    """Every job was accepted, or its user's budget used up, and every fault carried out."""
    accepted = {(e.user, e.key) for e in evidence.diary if e.deed == "submit" and e.http == 202}
    given_up = {(e.user, e.key) for e in evidence.diary if e.problem == GIVE_UP} - accepted
    if len(accepted) + len(given_up) != evidence.wanted:
        text = f"{len(accepted)} of {evidence.wanted} jobs were accepted"
        yield Violation(Promise.RUN, text)
    if len(evidence.faults) != evidence.planned:
        text = f"{len(evidence.faults)} of {evidence.planned} faults came to pass"
        yield Violation(Promise.RUN, text)
    for fault in evidence.faults:
        if fault.error or fault.ended is None:
            text = f"fault {fault.number}, {fault.kind}: {fault.error or 'has not ended'}"
            yield Violation(Promise.RUN, text)


def no_process_died_by_itself(evidence: Evidence) -> Iterator[Violation]:
    """Processes end only when they are killed or asked to, or find no database as they start."""
    for death in evidence.deaths:
        born = death["at"] - death["lived_s"]
        starting = death["lived_s"] < START_S and any(
            fault.kind in OUTAGES and fault.begun <= death["at"] and born <= (fault.ended or born)
            for fault in evidence.faults
        )
        if not death["expected"] and not starting:
            text = (
                f"{death['name']} ended with {death['code']} at {death['at']:.3f}: {death['log']}"
            )
            yield Violation(Promise.RUN, text)


def processes_ended_when_asked(evidence: Evidence) -> Iterator[Violation]:
    """SIGTERM ended each process in time, unless its database or broker was away meanwhile."""
    for fault in evidence.faults:
        for name, at in fault.killed.items():
            if not any(
                other.kind in OUTAGES and other.begun <= at and at - ENDS_S <= (other.ended or at)
                for other in evidence.faults
            ):
                text = f"{name} had not ended {ENDS_S:.0f} s after SIGTERM (fault {fault.number})"
                yield Violation(Promise.RUN, text)


def a_provider_that_was_down_was_felt(evidence: Evidence) -> Iterator[Violation]:
    """Its breakers opened, in a long run those of several models; else it was down too shortly."""
    down = [fault for fault in evidence.faults if fault.kind in DOWN]
    if not down:
        return
    lasted_s = sum((fault.ended or fault.begun) - fault.begun for fault in down)
    wanted = SEVERAL if lasted_s >= LONG_S else 1
    models = {opened.model for opened in evidence.breakers}
    if len(models) < wanted:
        text = f"down for {lasted_s:.0f} s, and breakers of {len(models)} models opened"
        yield Violation(Promise.RUN, text)


CHECKS: Final = (
    everything_was_done,
    no_process_died_by_itself,
    processes_ended_when_asked,
    a_provider_that_was_down_was_felt,
)
