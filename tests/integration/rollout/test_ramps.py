"""Ramps on a real database. Time passes by setting their columns back."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import OperationalError, connection, transaction
from django.db.models import F

from aifeature import registry
from aifeature.models import Alert, ControlChange, FeatureControl, HealthReading, KillMode, Ramp
from aifeature.policies.ramps import HealthLevel
from aifeature.services import controls
from aifeature.services.controls import switch
from aifeature.services.rollout import check, health, ramp_check, ramps
from aifeature.services.rollout.ramps import RefusedError
from tests import proof
from tests.readings import plant

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("live_prompt")]

MINUTE = timedelta(minutes=1)


def start(user: User, steps: Sequence[int] = (5, 10, 100), **values: Any) -> Ramp:
    defaults: dict[str, Any] = {"hours_per_step": 1, "reason": "Launch."}
    return ramps.start("summarize", steps=steps, user_id=user.pk, **{**defaults, **values})


def later(by: timedelta = MINUTE, *, healthy_s: float | None = None) -> Ramp:
    """Check a moment later than the last check. The step may get healthy seconds before."""
    found = Ramp.objects.filter(state__in=ramps.OPEN)
    found.update(checked_at=F("checked_at") - by, held_since=F("held_since") - by)
    if healthy_s is not None:
        found.update(healthy_s=healthy_s)
    check.check()
    return Ramp.objects.get()


def percent() -> tuple[str, int]:
    row = FeatureControl.objects.get(feature="summarize")
    return row.stage, row.percent


def audit(field: str = ramps.FIELD) -> list[tuple[str, str]]:
    rows = ControlChange.objects.filter(feature="summarize", field=field).order_by("id")
    return [(row.old, row.new) for row in rows]


def alerts() -> set[str]:
    return set(Alert.objects.filter(closed_at=None).values_list("kind", flat=True))


def test_a_ramp_moves_step_by_step_and_is_done(ada: User) -> None:
    start(ada)
    assert percent() == ("percent", 5)
    plant()
    ramp = later()
    assert ramp.healthy_s == pytest.approx(60, abs=5)
    assert percent() == ("percent", 5), "an hour is needed"
    ramp = later(healthy_s=3_599)
    assert (percent(), ramp.step, ramp.healthy_s) == (("percent", 10), 1, 0)
    assert later().step == 1, "the next step needs an hour of its own"
    assert later(healthy_s=3_599).step == 2
    assert percent() == ("percent", 100)
    ramp = later(healthy_s=3_599)
    assert (ramp.state, ramp.ended_at is None) == ("done", False)
    assert audit("percent") == [("0", "5"), ("5", "10"), ("10", "100")]
    moved = ControlChange.objects.filter(field="percent").latest("id")
    assert (moved.check_name, moved.user) == ("control.rollout", None)
    assert moved.figures is not None
    assert moved.figures["errors"] == {"level": "green", "value": 0.01, "threshold": 0.02}
    assert audit()[-1] == ("5 → 10 → 100 %", "done at 100 %")


@pytest.mark.parametrize(
    ("planted", "level", "why"),
    [
        ({"errors": "amber"}, "amber", "Errors: amber, 0.022 (threshold 0.02)."),
        ({"evals": "amber"}, "amber", "Evals pass rate: amber"),
        ({"age": timedelta(minutes=16)}, "stale", "Errors: last measured at"),
        ({"age": timedelta(minutes=-5)}, "stale", "Errors: last measured at"),
        (None, "missing", "Errors: never measured. Latency: never measured."),
        ({"errors": "red", "cost": "amber"}, "red", "Errors: red, 0.04 (threshold 0.02)."),
        ({"age": timedelta(minutes=14)}, "green", ""),
    ],
    ids=str,
)
def test_the_worst_number_decides(planted: dict[str, Any] | None, level: str, why: str) -> None:
    if planted is not None:
        plant(**planted)
    found = health.read("summarize")
    assert (found.level, found.why.startswith(why), bool(found.why)) == (level, True, bool(why))


def test_a_number_that_is_not_green_holds_and_is_recorded_once(ada: User) -> None:
    start(ada)
    plant(errors="amber")
    later(healthy_s=5_000)
    ramp = later()
    assert ramp.hold_reason == "Errors: amber, 0.022 (threshold 0.02)."
    HealthReading.objects.filter(number="errors").delete()
    assert "never measured" in later().hold_reason
    assert (ramp.step, ramp.healthy_s) == (0, 5_000)
    assert audit()[1:] == [("goes on", "held at 5 %")]
    assert alerts() == set()
    later(timedelta(hours=25))
    assert alerts() == {"ramp_held"}
    plant()
    assert later(healthy_s=10).healthy_s == 10, "the time before the green check does not count"
    assert audit()[2:] == [("held at 5 %", "goes on")]
    assert alerts() == set()
    assert later().healthy_s == pytest.approx(70, abs=5)


def test_a_red_number_steps_back_and_waits_for_a_person(ada: User) -> None:
    start(ada)
    plant()
    later(healthy_s=3_600)
    assert percent() == ("percent", 10)
    plant(errors="red")
    ramp = later()
    assert (ramp.state, ramp.step, percent()) == ("stepped_back", 0, ("percent", 5))
    assert alerts() == {"ramp_stepped_back"}
    plant()
    assert later(healthy_s=9_000).state == "stepped_back", "a green number alone does not resume"
    with pytest.raises(RefusedError, match="Enter a reason"):
        ramps.resume("summarize", reason=" ", user_id=ada.pk)
    ramps.resume("summarize", reason="Fixed.", user_id=ada.pk)
    assert alerts() == set()
    assert (later().healthy_s < 100, percent()) == (True, ("percent", 5))
    assert audit()[-2:] == [
        ("at 10 %", "stepped back from 10 % to 5 %"),
        ("waits at 5 %", "resumed"),
    ]


def test_the_first_step_goes_back_to_what_was_before(ada: User) -> None:
    controls.change("summarize", {"stage": "beta", "percent": 3}, reason="r", user_id=ada.pk)
    start(ada)
    plant(cost="red")
    assert (later().step, percent()) == (-1, ("beta", 0))
    ramps.resume("summarize", reason="Fixed.", user_id=ada.pk)
    assert (Ramp.objects.get().step, percent()) == (0, ("percent", 5))


def test_a_dead_check_holds_for_as_long_as_it_is_dead(ada: User) -> None:
    start(ada)
    plant()
    ramp = later(timedelta(hours=1), healthy_s=3_599)
    assert (ramp.step, ramp.healthy_s) == (0, 3_599)
    assert ramp.hold_reason == "The check did not run for 60 minutes."
    assert (later().step, later().step) == (0, 1)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"percent": 30}, "The percentage was changed by hand from 5 to 30."),
        ({"stage": "staff"}, "The stage was changed by hand from percent to staff."),
    ],
)
def test_a_change_by_hand_stops_the_ramp(ada: User, values: dict[str, Any], words: str) -> None:
    start(ada)
    plant()
    controls.change("summarize", values, reason="By hand.", user_id=ada.pk)
    before = percent()
    ramp = later(healthy_s=9_000)
    assert (ramp.state, percent()) == ("stopped", before)
    row = ControlChange.objects.filter(field=ramps.FIELD).latest("id")
    assert (row.new, row.reason, row.check_name) == ("stopped itself", words, "control.rollout")


def test_a_change_by_hand_during_the_check_wins(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control is compared again, locked, before the move."""
    start(ada)
    plant()

    def read(slug: str) -> health.Health:
        FeatureControl.objects.filter(feature=slug).update(percent=1)
        return health.Health(HealthLevel.GREEN)

    monkeypatch.setattr(health, "read", read)
    assert (later(healthy_s=9_000).state, percent()) == ("stopped", ("percent", 1))


@pytest.mark.parametrize("gone", ["feature", "control"])
def test_a_ramp_of_a_removed_feature_stops_itself(
    ada: User, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(ada)
    if gone == "feature":
        monkeypatch.setattr(registry, "find", lambda _slug: None)
    else:
        FeatureControl.objects.all().delete()
    assert later(healthy_s=9_000).state == "stopped"


def test_a_pulled_switch_and_a_refused_step_hold(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(ada)
    plant(errors="red")
    switch.stop("summarize", reason="r", mode=KillMode.HOLD, user_id=ada.pk)
    assert later(healthy_s=9_000).hold_reason.startswith("The kill switch stops")
    switch.release("summarize", percent=50, reason="r", user_id=ada.pk)
    assert later().hold_reason.startswith("The kill switch stops")
    switch.release("summarize", percent=100, reason="r", user_id=ada.pk)
    plant()

    def refuse(*_: Any, **__: Any) -> None:
        raise ValidationError({"stage": "The evidence is too old."})

    with monkeypatch.context() as patch:
        patch.setattr(controls, "change", refuse)
        ramp = later()
    assert (ramp.hold_reason, ramp.step) == ("The evidence is too old.", 0)
    assert later().step == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"steps": [25, 10]}, "Each step must be above the one before."),
        ({"steps": [3, 10]}, "3 % of users may use the feature already."),
        ({"reason": ""}, "Enter a reason."),
        ({"hours_per_step": 0}, "1 to 720"),
    ],
)
def test_an_invalid_ramp_does_not_start(ada: User, values: dict[str, Any], words: str) -> None:
    controls.change("summarize", {"stage": "percent", "percent": 3}, reason="r", user_id=ada.pk)
    with pytest.raises(RefusedError, match=words):
        start(ada, **values)
    assert (Ramp.objects.count(), percent()) == (0, ("percent", 3))


def test_a_ramp_needs_a_stage_a_prompt_and_no_other_ramp(ada: User) -> None:
    with pytest.raises(RefusedError, match=r"evidence|live"):
        ramps.start("triage", steps=[5], hours_per_step=1, reason="r", user_id=ada.pk)
    for slug in ("moderation", "nothing"):
        with pytest.raises(RefusedError, match="There is no feature"):
            ramps.start(slug, steps=[5], hours_per_step=1, reason="r", user_id=ada.pk)
    start(ada)
    with pytest.raises(RefusedError, match="is open already"):
        start(ada, steps=[50])
    ramps.stop("summarize", reason="Enough.", user_id=ada.pk)
    assert (audit()[-1], percent()) == (("5 → 10 → 100 %", "stopped at 5 %"), ("percent", 5))
    with pytest.raises(RefusedError, match="No ramp of summarize is open"):
        ramps.stop("summarize", reason="Again.", user_id=ada.pk)
    controls.change("summarize", {"stage": "everyone"}, reason="r", user_id=ada.pk)
    with pytest.raises(RefusedError, match="above a percentage"):
        start(ada)


def test_a_failed_ramp_does_not_stop_the_others(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    proof.activate("triage")
    start(ada)
    ramps.start("triage", steps=[5, 9], hours_per_step=1, reason="r", user_id=ada.pk)
    plant("triage")
    Ramp.objects.update(healthy_s=9_000)
    read = health.read

    def fail(slug: str) -> health.Health:
        if slug == "summarize":
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")
        return read(slug)

    monkeypatch.setattr(health, "read", fail)
    found = check.check()
    assert (found.ok, "summarize: its check failed" in found.result) == (False, True)
    assert Ramp.objects.get(feature="triage").step == 1

    def broken() -> Any:
        raise OperationalError

    monkeypatch.setattr(check, "CHECKS", [("broken", broken), ("ramps", ramps.check)])
    assert "The check of broken failed. ramps: " in check.check().result


@pytest.mark.usefixtures("committed")
def test_a_ramp_that_another_process_checks_is_skipped(ada: User) -> None:
    start(ada)
    plant()
    Ramp.objects.update(healthy_s=9_000)
    pk = Ramp.objects.get().pk
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Ramp.objects.select_for_update().get(pk=pk)
            locked.set()
            done.wait(30)
        connection.close()

    other = threading.Thread(target=hold)
    other.start()
    try:
        assert locked.wait(30)
        assert ramp_check.check_one(pk) == ""
        assert percent() == ("percent", 5)
    finally:
        done.set()
        other.join()
    assert ramp_check.check_one(pk) == "moved to 10 %"
