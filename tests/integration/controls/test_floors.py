"""A floor is lowered with a reason, and no edit of the code's history lowers it."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from django.db import connection

from aifeature import registry
from aifeature.models import ControlChange
from aifeature.services.controls import floors
from aifeature.services.controls.floors import InForce
from aifeature.spec import Feature, Floor, Scorer, Suite

FIRST = Floor(least=0.8, since=date(2026, 1, 1))
HIGHER = Floor(least=0.9, since=date(2026, 2, 1))
LOWER = Floor(least=0.7, since=date(2026, 3, 1), reason="Harder cases.")
LOWEST = Floor(least=0.6, since=date(2026, 4, 1), reason="Still harder.")


def with_floors(*history: Floor) -> Feature:
    found = {"anthropic": history} if history else {}
    suite = Suite(scorer=Scorer.EXACT, floors=found)
    return registry.get("triage").model_copy(update={"suite": suite})


def in_force(*history: Floor) -> InForce:
    return floors.in_force(with_floors(*history), "anthropic")


def recorded() -> list[tuple[str, str, str]]:
    rows = ControlChange.objects.filter(feature="triage", field="floor_anthropic").order_by("id")
    return [(row.old, row.new, row.reason) for row in rows]


@pytest.mark.django_db
def test_each_change_is_recorded_once_with_its_reason() -> None:
    assert in_force() == InForce(0.0)
    for history in ([FIRST], [FIRST, HIGHER], [FIRST, HIGHER, LOWER, LOWEST]):
        for _ in range(2):
            assert in_force(*history) == InForce(history[-1].least)
    assert recorded() == [
        ("", "0.8", "The code has this floor since 2026-01-01."),
        ("0.8", "0.9", "The code has this higher floor since 2026-02-01."),
        ("0.9", "0.6", "Harder cases. Still harder."),
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "history",
    [
        [],
        [FIRST],
        [FIRST, LOWER],
        [HIGHER.model_copy(update={"since": date(2026, 2, 2)}), LOWER],
        [HIGHER.model_copy(update={"least": 0.85})],
    ],
    ids=["deleted", "taken back", "replaced", "moved", "rewritten in place"],
)
def test_a_rewritten_history_does_not_lower_the_floor(history: list[Floor]) -> None:
    in_force(FIRST, HIGHER)
    found = in_force(*history)
    assert found.least == 0.9
    assert "The floor of triage for anthropic is" in found.problem
    assert "has 0.9 since 2026-02-01, which stays in force" in found.problem
    assert "Restore the entry" in found.problem
    assert len(recorded()) == 1


@pytest.mark.usefixtures("committed")
def test_two_processes_record_a_change_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read, meet = floors._recorded, threading.Barrier(2, timeout=0.5)

    def at_the_same_time(*of: str) -> Any:
        found = read(*of)
        with contextlib.suppress(threading.BrokenBarrierError):
            meet.wait()
        return found

    def record(_: int) -> InForce:
        try:
            return in_force(FIRST)
        finally:
            connection.close()

    monkeypatch.setattr(floors, "_recorded", at_the_same_time)
    with ThreadPoolExecutor(2) as both:
        assert list(both.map(record, range(2))) == [InForce(0.8)] * 2
    assert len(recorded()) == 1
