"""A stop of what is stopped changes nothing; its reason is changed on purpose, with a record."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from aifeature.models import ControlChange, FeatureControl, KillMode
from aifeature.services.controls import switch

SLUG = "summarize"


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada")


def stop(user: User, reason: str, mode: KillMode = KillMode.HOLD) -> bool:
    return switch.stop(SLUG, reason=reason, mode=mode, user_id=user.pk)


def stands() -> tuple[str, str]:
    row = FeatureControl.objects.get(feature=SLUG)
    return row.kill_reason, row.kill_mode


@pytest.mark.parametrize("mode", KillMode)
@pytest.mark.parametrize("pulled_by", ["person", "check"])
def test_a_second_stop_changes_nothing(ada: User, mode: KillMode, pulled_by: str) -> None:
    if pulled_by == "person":
        assert stop(ada, "The first.")
    else:
        switch.trip(SLUG, check="control.cost_spike", reason="The first.", figures={})
    before = list(ControlChange.objects.values())
    assert not stop(ada, "The second.", mode)
    assert stands() == ("The first.", "hold")
    assert list(ControlChange.objects.values()) == before


@pytest.mark.django_db(transaction=True)
def test_of_people_who_stop_at_once_the_first_ones_reason_stays() -> None:
    people = [User.objects.create_user(f"user{n}") for n in range(6)]
    begin = threading.Barrier(len(people))
    stopped: list[str] = []

    def pull(person: User) -> None:
        begin.wait(60)
        if stop(person, f"By {person}.", KillMode.CANCEL):
            stopped.append(f"By {person}.")
        connection.close()

    threads = [threading.Thread(target=pull, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(stopped) == 1
    assert stands() == (stopped[0], "cancel")
    assert ControlChange.objects.filter(field="killed").get().reason == stopped[0]


def test_a_change_of_the_reason_releases_nothing(ada: User) -> None:
    assert not switch.change_reason(SLUG, reason="r", mode=KillMode.HOLD, user_id=ada.pk)
    assert not ControlChange.objects.exists()
    stop(ada, "The first.")
    assert switch.change_reason(SLUG, reason="r", mode=KillMode.CANCEL, user_id=ada.pk)
    assert switch.is_stopped(SLUG)
    assert stands() == ("r", "cancel")
    switch.release(SLUG, reason="Mended.", user_id=ada.pk)
    assert not switch.change_reason(SLUG, reason="r2", mode=KillMode.HOLD, user_id=ada.pk)
    assert stands()[0] == ""


@pytest.mark.parametrize(("reason", "who"), [(" ", 0), ("r", 1)])
def test_the_database_wants_a_reason_and_a_person(ada: User, reason: str, who: int) -> None:
    stop(ada, "The first.")
    arguments: list[Any] = [SLUG, "hold", reason, ada.pk + who]
    with (
        pytest.raises(Exception, match=r"with a reason|no user with the id"),
        connection.cursor() as c,
    ):
        c.execute("SELECT aif_switch_change_reason(%s, %s, %s, %s)", arguments)
