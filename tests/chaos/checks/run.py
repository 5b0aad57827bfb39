"""The run itself: the harness did its work, so that the other checks prove something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.chaos.checks.rescue import OUTAGES
from tests.chaos.checks.violation import Promise, Violation, check
from tests.chaos.client import GIVE_UP
from tests.chaos.evidence import Evidence
from tests.chaos.injector import ENDS_S
from tests.chaos.plan import DOWN

START_S: Final = 90.0
"""Seconds that a process may take to start on a busy machine."""

SEVERAL: Final = 2
LONG_S: Final = 60.0
"""A provider that is down for so long in all opens the breakers of several models."""


@check
def all_work_was_done(evidence: Evidence) -> Iterator[Violation]:
    """Every job was accepted or its user's budget was used up, and every fault was carried out."""
    requests = evidence.requests
    accepted = {(e.user, e.key) for e in requests if e.action == "submit" and e.http == 202}
    given_up = {(e.user, e.key) for e in requests if e.problem == GIVE_UP} - accepted
    if len(accepted) + len(given_up) != evidence.wanted:
        text = f"{len(accepted)} of {evidence.wanted} jobs were accepted"
        yield Violation(Promise.RUN, text)
    if len(evidence.faults) != evidence.planned:
        text = f"{len(evidence.faults)} of {evidence.planned} faults were carried out"
        yield Violation(Promise.RUN, text)
    for fault in evidence.faults:
        if fault.error or fault.ended is None:
            text = f"fault {fault.number}, {fault.kind}: {fault.error or 'has not ended'}"
            yield Violation(Promise.RUN, text)


@check
def no_process_ended_by_itself(evidence: Evidence) -> Iterator[Violation]:
    """A process ends only by a signal, or if it finds no database when it starts."""
    for death in evidence.deaths:
        born = death["at"] - death["lived_s"]
        if death["expected"] or (
            death["lived_s"] < START_S and evidence.faults_during(OUTAGES, born, death["at"])
        ):
            continue
        text = f"{death['name']} ended with {death['code']} at {death['at']:.3f}: {death['log']}"
        yield Violation(Promise.RUN, text)


@check
def processes_ended_after_sigterm(evidence: Evidence) -> Iterator[Violation]:
    """SIGTERM ended each process in time, except in an outage of its database or broker."""
    for fault in evidence.faults:
        for name, at in fault.killed.items():
            if not evidence.faults_during(OUTAGES, at - ENDS_S, at):
                text = f"{name} had not ended {ENDS_S:.0f} s after SIGTERM (fault {fault.number})"
                yield Violation(Promise.RUN, text)


@check
def outages_of_the_provider_open_breakers(evidence: Evidence) -> Iterator[Violation]:
    """An outage of the provider was long enough to open a breaker, or several in a long run."""
    down = [fault for fault in evidence.faults if fault.kind in DOWN]
    if not down:
        return
    lasted_s = sum((fault.ended or fault.begun) - fault.begun for fault in down)
    wanted = SEVERAL if lasted_s >= LONG_S else 1
    models = {opened.model for opened in evidence.breakers}
    if len(models) < wanted:
        text = f"down for {lasted_s:.0f} s, and breakers of {len(models)} models opened"
        yield Violation(Promise.RUN, text)
