"""Signs of life: each worker process gives them, whatever queue it serves."""

from __future__ import annotations

import pytest

from aifeature.models import Worker
from aifeature.services import lease
from aifeature.services.lease import LeaseKeeper
from tests.integration.keeper.conftest import WORKER, Clock, wait_for
from workers.inference import Cancel

pytestmark = pytest.mark.usefixtures("committed")


def signs() -> list[tuple[str, str, int]]:
    return sorted(Worker.objects.values_list("name", "queue", "slots"))


@pytest.mark.parametrize("queue", ["llm", "evals", "control"])
def test_a_process_shows_that_it_lives_until_it_leaves(beating: LeaseKeeper, queue: str) -> None:
    beating.appear(WORKER, queue=queue, slots=4)
    wait_for(lambda: signs() == [(WORKER, queue, 4)])
    first = Worker.objects.get().seen_at
    wait_for(lambda: Worker.objects.get().seen_at > first)
    beating.leave()
    assert signs() == [(WORKER, queue, 0)]


def test_a_process_that_is_asked_to_stop_lives_and_offers_none(
    keeper: LeaseKeeper, clock: Clock
) -> None:
    keeper.appear(WORKER, queue="llm", slots=4)
    keeper.beat()
    keeper.offer_none()
    keeper.beat()
    assert signs() == [(WORKER, "llm", 0)]
    before = Worker.objects.get().seen_at
    clock.now += lease.PRESENCE_S
    keeper.beat()
    assert Worker.objects.get().seen_at > before


def test_a_process_that_does_nothing_keeps_no_connection(beating: LeaseKeeper) -> None:
    with beating.hold_call("summarize", Cancel()):
        wait_for(lambda: beating._session.is_open)
    wait_for(lambda: not beating._session.is_open)
