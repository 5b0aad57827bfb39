"""The check of the six numbers: alerts, their actions, and what it does when parts fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from aifeature.models import (
    Activation,
    Alert,
    ControlChange,
    FeatureControl,
    HealthReading,
    Level,
    NumberAction,
    NumberRule,
    Ramp,
    Silence,
)
from aifeature.models.functions import database_now
from aifeature.policies.numbers import RULES, Six
from aifeature.services.alarms import actions, changes, check
from aifeature.services.alarms.rules import KINDS
from aifeature.services.alerting import alerts
from aifeature.services.controls import GLOBAL, switch
from aifeature.services.numbers import readings, rollup
from aifeature.services.numbers.six import Number
from aifeature.services.promotion import activations
from aifeature.services.rollout import health
from tests import proof
from tests.integration.job_rows import make_ramp
from tests.readings import plant

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

SLUG = "summarize"
MINUTE = timedelta(minutes=1)
SAMPLES = {"errors": 512, "latency": 300, "cost": 40, "thumbs_down": 78, "hallucinations": 60}
BOUNDS = {"errors": 0.046, "thumbs_down": 0.213}
VALUES = {"errors": 0.098, "latency": 14.2, "cost": 2.6, "thumbs_down": 0.32, "hallucinations": 0.1}
SENTENCES = {
    "errors": "summarize: 9.8 % of the requests of the last hour failed (50 of 512, at least 4.6 % "
    "but for a chance of one in 100 million). The threshold is 2 %.",
    "latency": "summarize: the slowest 5 % of the 300 answers of the last hour took 14.2 s or "
    "longer. The threshold is 10 s.",
    "cost": "summarize: a user cost 2.6 times the usual in the last 24 hours (40 users). The "
    "threshold is 2.0 times.",
    "thumbs_down": "summarize: 32 % of the rated answers of the last 7 days got a thumbs down (25 "
    "of 78, at least 21.3 % but for a chance of one in 100). The threshold is 20 %.",
    "hallucinations": "summarize: 10 % of the answers that were audited last are hallucinated (6 "
    "of 60). The threshold is 5 %.",
}


class Numbers:
    """A measuring with numbers whose levels a test sets."""

    def __init__(self) -> None:
        self.levels: dict[str, Level | None] = {}
        self.error: Exception | None = None

    def measure(
        self, now: datetime, *_: readings.Noted | Collection[Six]
    ) -> dict[str, dict[str, Number]]:
        if self.error:
            raise self.error
        found = {name: self.number(name, level, now) for name, level in self.levels.items()}
        readings.store(SLUG, found.values())
        return {SLUG: found}

    def number(self, name: str, level: Level | None, now: datetime) -> Number:
        """Return a number of this level. Without one, nothing is left to count."""
        rule = RULES[Six(name)]
        window = rule.windows[0]
        shown = {Level.RED: VALUES[name], Level.AMBER: 1.1 * rule.threshold}
        value = shown.get(level, rule.threshold / 2) if level else None
        return Number(
            *(name, value, rule.threshold, level, SAMPLES[name] if level else 0, rule.least),
            *(int(window.total_seconds()), rule.unit, None, None, now - window, now),
            bound=BOUNDS.get(name),
        )


@pytest.fixture
def numbers(monkeypatch: pytest.MonkeyPatch) -> Numbers:
    stand_in = Numbers()
    monkeypatch.setattr(readings, "measure", stand_in.measure)
    monkeypatch.setattr(rollup, "roll_up", lambda now: 0)
    return stand_in


@pytest.fixture
def three_versions(db: None) -> None:
    """Versions 1 to 3 were live one after the other, long ago."""
    for version in ("v1", "v2", "v3"):
        proof.activate(SLUG, version)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        Activation.objects.update(at=F("at") - timedelta(days=30))
        cursor.execute("SET session_replication_role = origin")


def choose(action: NumberAction, *names: str) -> None:
    for name in names:
        NumberRule.objects.update_or_create(feature=SLUG, number=name, defaults={"action": action})


def opened() -> list[Alert]:
    return list(Alert.objects.filter(kind__in=KINDS.values(), closed_at=None).order_by("kind"))


def the_alert() -> Alert:
    (alert,) = opened()
    return alert


def later(by: timedelta) -> None:
    """Put all that the check remembers of time into the past."""
    Alert.objects.update(opened_at=F("opened_at") - by, seen_at=F("seen_at") - by)
    HealthReading.objects.update(since=F("since") - by, measured_at=F("measured_at") - by)
    for alert in opened():
        if text := alert.figures.get("broken_at"):
            alert.figures["broken_at"] = (datetime.fromisoformat(text) - by).isoformat()
            alert.save(update_fields=["figures"])


def live() -> str:
    row = activations.live_row(SLUG)
    return row.version if row else ""


@pytest.mark.usefixtures("live_prompt")
@pytest.mark.parametrize("name", KINDS)
def test_amber_holds_ramps_and_red_alerts_once(numbers: Numbers, name: str) -> None:
    plant()
    ControlChange.objects.create(
        feature=SLUG, field="live_prompt", new="v4 0a1b2c3d", at=Now() - 12 * MINUTE, reason="r"
    )
    numbers.levels = {name: Level.AMBER}
    check.check()
    assert (opened(), health.read(SLUG).level.value) == ([], "amber")

    Silence.objects.create(kind=KINDS[name], subject=SLUG, until=Now() + 60 * MINUTE, reason="r")
    numbers.levels = {name: Level.RED}
    for _ in range(2):
        check.check()
    alert = the_alert()
    assert (alert.kind, alert.subject) == (KINDS[name], SLUG)
    assert alert.summary == (
        f"{SENTENCES[name]} Last change: prompt v4 became live, 12 minutes before. Read the rows"
        " that counted on the alert's page, and find the cause."
    )
    figures = alert.figures
    assert (figures["value"], figures["sample"]) == (VALUES[name], SAMPLES[name])
    assert {"threshold", "window_s", "begins", "ends", "since", "changes"} <= figures.keys()
    assert figures["action"]["state"] == "done"
    assert Alert.objects.count() == 1
    assert not ControlChange.objects.filter(check_name=actions.CHECK).exists()


@pytest.mark.usefixtures("three_versions")
def test_a_roll_back_happens_once_and_not_again_for_a_day(numbers: Numbers) -> None:
    choose(NumberAction.ROLL_BACK, "errors", "latency")
    numbers.levels = {"errors": Level.RED, "latency": Level.RED}
    for _ in range(2):
        check.check()
    assert live() == "v2", "two numbers, and one roll-back"
    errors, latency = opened()
    assert errors.summary.endswith(
        "It was rolled back to v2. Mend the prompt before it is live again."
    )
    assert "It was not rolled back. It was rolled back to v2 at" in latency.summary
    (row,) = ControlChange.objects.filter(check_name=actions.CHECK)
    assert (row.field, row.new.partition(" ")[0]) == ("live_prompt", "v2")
    assert row.figures is not None
    assert (row.figures["number"], row.figures["value"]) == ("errors", VALUES["errors"])

    # It turns green, and red again after the window, but within a day.
    Alert.objects.update(closed_at=F("opened_at"))
    numbers.levels = {"errors": Level.RED}
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        Activation.objects.update(at=F("at") - timedelta(hours=3))
        ControlChange.objects.update(at=F("at") - timedelta(hours=3))
        check.check()
        assert (live(), "once in 24 hours" in the_alert().summary) == ("v2", True)
        Alert.objects.update(closed_at=F("opened_at"))
        ControlChange.objects.update(at=F("at") - timedelta(hours=22))
        cursor.execute("SET session_replication_role = origin")
    check.check()
    assert live() == "v1", "a day later it may"


@pytest.mark.usefixtures("three_versions")
def test_the_alert_has_the_result_of_the_action(numbers: Numbers, ada: User) -> None:
    choose(NumberAction.STOP_RAMP, "errors", "latency")
    choose(NumberAction.TRIP, "cost")
    choose(NumberAction.ROLL_BACK, "thumbs_down")
    make_ramp(checked_at=database_now())
    numbers.levels = {"errors": Level.RED}
    check.check()
    assert "Its ramp was stopped at 5 %." in the_alert().summary
    assert Ramp.objects.get().state == Ramp.State.STOPPED
    row = ControlChange.objects.get(field="ramp")
    assert (row.check_name, (row.figures or {})["number"]) == (actions.CHECK, "errors")

    numbers.levels = {"latency": Level.RED}
    check.check()
    summary = Alert.objects.get(kind="latency_high").summary
    assert summary.endswith("No ramp was stopped. No ramp of summarize is open.")

    numbers.levels = {"cost": Level.RED}
    check.check()
    assert FeatureControl.objects.get(feature=SLUG).killed
    assert "Its kill switch was pulled." in Alert.objects.get(kind="cost_per_user_high").summary
    row = ControlChange.objects.get(field="killed")
    assert (row.check_name, (row.figures or {})["number"]) == (actions.CHECK, "cost")

    numbers.levels = {"thumbs_down": Level.RED}
    check.check()
    summary = Alert.objects.get(kind="thumbs_down_high").summary
    assert (live(), "was pulled already, so nothing else was done" in summary) == ("v3", True)


@pytest.mark.usefixtures("live_prompt")
def test_it_closes_after_green_without_a_break(numbers: Numbers) -> None:
    proof.open_to_users(SLUG)
    numbers.levels = {"errors": Level.RED}
    check.check()
    numbers.levels = {"errors": Level.GREEN}
    for _ in range(14):
        check.check()
        later(MINUTE)
    check.check()
    assert opened(), "14 minutes"
    numbers.levels = {"errors": None}
    check.check()
    numbers.levels = {"errors": Level.GREEN}
    for _ in range(14):
        later(MINUTE)
        check.check()
    assert opened(), "missing data broke the green time"
    later(timedelta(minutes=20))
    check.check()
    assert opened(), "nothing was observed for 20 minutes"
    for _ in range(15):
        later(MINUTE)
        check.check()
    assert opened() == []
    numbers.levels = {"errors": Level.RED}
    check.check()
    assert Alert.objects.count() == 2, "a red number is never hidden"


@pytest.mark.usefixtures("live_prompt")
def test_it_closes_when_nothing_is_left_of_a_feature_that_is_turned_off(numbers: Numbers) -> None:
    numbers.levels = {"errors": Level.RED, "latency": Level.RED}
    check.check()
    numbers.levels = {"errors": None, "latency": Level.AMBER}
    check.check()
    assert [alert.kind for alert in opened()] == ["latency_high"], "it still has data"
    ended = Alert.objects.get(kind="errors_high").summary
    assert ended.endswith("ended because summarize is turned off, and nothing is left to count.")
    proof.open_to_users(SLUG)
    numbers.levels = {"latency": None}
    check.check()
    assert opened(), "requests may be missing because of a fault"
    switch.trip(SLUG, check="test", reason="r", figures={})
    check.check()
    assert opened() == []


@pytest.mark.usefixtures("live_prompt")
def test_an_alert_opens_without_what_changed_before(
    numbers: Numbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers.levels = {"errors": Level.RED}
    monkeypatch.setattr(changes, "between", _then_fail(lambda *_: None))
    check.check()
    assert "What was changed before could not be read." in the_alert().summary


@pytest.mark.usefixtures("live_prompt")
def test_a_clock_that_was_ahead_keeps_no_alert_open(numbers: Numbers) -> None:
    numbers.levels = {"errors": Level.RED}
    check.check()
    numbers.levels = {"errors": Level.GREEN}
    check.check(database_now() + timedelta(days=365))
    for _ in range(18):
        later(MINUTE)
        check.check()
    assert opened() == []


@pytest.mark.usefixtures("three_versions")
def test_votes_about_earlier_prompts_roll_nothing_back(numbers: Numbers) -> None:
    choose(NumberAction.ROLL_BACK, "thumbs_down")
    proof.activate(SLUG, "v2")
    numbers.levels = {"thumbs_down": Level.RED}
    check.check()
    assert (live(), "most are about earlier prompts" in the_alert().summary) == ("v2", True)


@pytest.mark.usefixtures("three_versions")
def test_an_error_in_an_action_undoes_it_and_it_is_tried_again(
    numbers: Numbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(NumberAction.ROLL_BACK, "errors")
    numbers.levels = {"errors": Level.RED}
    with monkeypatch.context() as patched:
        patched.setattr(activations, "roll_back", _then_fail(activations.roll_back))
        check.check()
    assert (live(), "failed and is tried again each minute" in the_alert().summary) == ("v3", True)
    with monkeypatch.context() as patched:  # killed between the action and the alert
        patched.setattr(alerts, "begin", _then_fail(lambda *_: None))
        patched.setattr(alerts, "begin_or_renew", _then_fail(lambda *_: None))
        with pytest.raises(check.IncompleteError, match="errors of summarize"):
            check.check()
    assert live() == "v3"
    for _ in range(3):
        check.check()
    assert (live(), the_alert().figures["action"]["tries"]) == ("v2", 2)
    assert "It was rolled back to v2." in the_alert().summary


def _then_fail(done: Callable[..., Any]) -> Callable[..., Any]:
    def fail(*arguments: Any, **named: Any) -> None:
        done(*arguments, **named)
        raise RuntimeError("killed")

    return fail


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("three_versions")
def test_two_workers_at_once_open_and_act_once(
    numbers: Numbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(NumberAction.ROLL_BACK, "errors")
    numbers.levels = {"errors": Level.RED}
    numbers.measure(database_now())
    monkeypatch.setattr(readings, "store", lambda *_: None)
    with transaction.atomic():  # another worker decides about this number
        HealthReading.objects.select_for_update().get(number="errors")
        in_threads(1)
        assert (live(), opened()) == ("v3", [])
    in_threads(2)
    check.check()
    assert (live(), len(opened())) == ("v2", 1)
    assert ControlChange.objects.filter(check_name=actions.CHECK).count() == 1


def in_threads(count: int) -> None:
    """Run the check in as many threads, with connections of their own."""
    together = threading.Barrier(count)

    def run() -> None:
        try:
            together.wait(timeout=10)
            check.check()
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.usefixtures("live_prompt")
def test_a_failed_part_stops_no_other_and_makes_the_check_late(
    numbers: Numbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers.levels = {"errors": Level.RED}
    check.check()
    Alert.objects.create(kind="latency_high", subject="gone", summary="Slow.")
    numbers.error = RuntimeError("no")
    with pytest.raises(check.IncompleteError, match="the readings"):
        check.check()
    assert the_alert().kind == "errors_high", "nothing was measured, and nothing closes"
    gone = Alert.objects.get(subject="gone")
    assert gone.closed_at is not None
    assert gone.summary == "Slow. It ended because gone is no longer in the code."


@pytest.mark.usefixtures("live_prompt")
def test_nothing_happens_without_data_and_a_tick_sent_twice_runs_once(numbers: Numbers) -> None:
    assert check.check().ok
    numbers.levels = {"errors": None, "latency": None}
    assert (check.check().result, opened()) == ("No number is red.", [])
    runs = [check.run_once() for _ in range(2)]
    assert runs.count(True) >= 1
    assert False in runs or database_now().second < 2, "the same minute"


@pytest.mark.usefixtures("three_versions")
def test_nothing_is_done_while_everything_is_stopped(numbers: Numbers) -> None:
    choose(NumberAction.ROLL_BACK, "errors")
    choose(NumberAction.TRIP, "latency")
    switch.trip(GLOBAL, check="test", reason="r", figures={})
    numbers.levels = {"errors": Level.RED, "latency": Level.RED}
    check.check()
    assert [alert.figures["action"]["state"] for alert in opened()] == ["not_done"] * 2
    assert (live(), switch.is_stopped(SLUG)) == ("v3", False)
