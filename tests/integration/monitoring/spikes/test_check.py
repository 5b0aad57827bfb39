"""The check throttles users, and stops features or everything, on real rows."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from aifeature.models import (
    Alert,
    AttemptState,
    CheckRun,
    ControlChange,
    FeatureControl,
    KillMode,
    RateOverride,
    SpendHour,
    TickSlot,
)
from aifeature.services.controls import switch
from aifeature.services.controls.effective import GLOBAL
from aifeature.services.monitoring.spikes import check
from aifeature.services.monitoring.spikes.baseline import midnight
from tests.integration.job_rows import make_launch
from tests.integration.monitoring.spikes.conftest import DOLLAR, NOON, Usual, call

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
MORNING = NOON - 6 * HOUR
"""Long enough ago to burn no cap."""


def stopped() -> set[str]:
    return set(FeatureControl.objects.filter(killed=True).values_list("feature", flat=True))


def open_alerts() -> list[tuple[str, str]]:
    alerts = Alert.objects.exclude(kind="kill_switch").filter(closed_at=None)
    return list(alerts.order_by("kind", "subject").values_list("kind", "subject"))


class TestFeature:
    """One dollar an hour is usual; the limit at noon is twice twelve dollars."""

    @pytest.fixture(autouse=True)
    def _usual(self, usual: Usual) -> None:
        usual("feature", "summarize", DOLLAR)
        usual("global", "", 10 * DOLLAR)

    def test_above_twice_the_usual_its_switch_trips_with_its_numbers(self) -> None:
        call(24 * DOLLAR + 1)
        found = check.evaluate(NOON)
        assert stopped() == {"summarize"}
        row = ControlChange.objects.get(feature="summarize", field="killed")
        assert row.check_name == "cost_spike"
        assert row.figures is not None
        assert row.figures["today_micro"] == 24 * DOLLAR + 1
        assert row.figures["baseline_micro"] == 12 * DOLLAR
        assert row.figures["ratio"] == 2.0
        assert "$24.00 today by 12:00 UTC, 2.0 times the usual $12.00" in row.reason
        assert open_alerts() == [("cost_spike", "summarize")]
        assert not found.ok

    def test_at_twice_the_usual_nothing_happens(self) -> None:
        call(24 * DOLLAR, at=MORNING)
        found = check.evaluate(NOON)
        assert found.ok
        assert found.result == "Nothing unusual: $24.00 spent today, $120.00 is usual by now."
        assert stopped() == set()
        assert open_alerts() == []

    def test_an_announced_launch_raises_the_baseline(self) -> None:
        launch = make_launch(starts_at=midnight(NOON) + 6 * HOUR, ends_at=NOON + 6 * HOUR)
        call(47 * DOLLAR, at=MORNING)  # usual are 6 + 3 * 6 dollars now
        check.evaluate(NOON)
        assert stopped() == set()
        launch.delete()
        check.evaluate(NOON)
        assert stopped() == {"summarize"}

    def test_when_the_day_has_caught_up_the_alert_ends_and_the_switch_stays(self) -> None:
        call(25 * DOLLAR)
        check.evaluate(NOON)
        assert open_alerts() == [("cost_spike", "summarize")]
        check.evaluate(NOON + 2 * HOUR)
        assert open_alerts() == []
        assert stopped() == {"summarize"}

    def test_a_second_look_changes_nothing(self) -> None:
        call(25 * DOLLAR)
        check.evaluate(NOON)
        check.evaluate(NOON + MINUTE)
        assert open_alerts() == [("cost_spike", "summarize")]
        assert Alert.objects.exclude(kind="kill_switch").count() == 1
        assert ControlChange.objects.filter(field="killed").count() == 1

    def test_a_released_switch_trips_again_after_spend_doubled(self, ada: User) -> None:
        call(30 * DOLLAR)
        check.evaluate(NOON)
        switch.release("summarize", reason="It was a customer.", user_id=ada.pk)
        call(29 * DOLLAR, at=NOON)
        check.evaluate(NOON + MINUTE)
        assert stopped() == set()
        assert open_alerts() == []
        call(2 * DOLLAR, at=NOON)
        check.evaluate(NOON + MINUTE)
        assert stopped() == {"summarize"}

    def test_a_release_of_yesterday_does_not_excuse_today(self, ada: User) -> None:
        call(30 * DOLLAR)
        check.evaluate(NOON)
        switch.release("summarize", reason="It was a customer.", user_id=ada.pk)
        call(25 * DOLLAR, at=NOON + 23 * HOUR)
        check.evaluate(NOON + 24 * HOUR)
        assert stopped() == {"summarize"}

    def test_a_day_on_which_it_tripped_hides_no_spike_of_the_next(self, ada: User) -> None:
        call(30 * DOLLAR, at=MORNING)
        check.evaluate(NOON)
        switch.release("summarize", reason="A bug is mended.", user_id=ada.pk)
        call(25 * DOLLAR, at=MORNING + 24 * HOUR)
        SpendHour.objects.filter(scope="global").delete()
        check.evaluate(NOON + 24 * HOUR)
        assert stopped() == {"summarize"}

    def test_a_switch_that_a_person_pulled_stays_and_is_notified(self, ada: User) -> None:
        switch.stop("summarize", reason="Odd.", mode=KillMode.HOLD, user_id=ada.pk)
        call(25 * DOLLAR)
        check.evaluate(NOON)
        assert open_alerts() == [("cost_spike", "summarize")]
        assert not ControlChange.objects.filter(check_name="cost_spike").exists()


def test_the_excess_of_a_feature_does_not_stop_everything(usual: Usual, ada: User) -> None:
    """Until the spend has doubled: then the feature stops again."""
    usual("feature", "summarize", DOLLAR)
    usual("global", "", DOLLAR)
    call(30 * DOLLAR)
    check.evaluate(NOON)
    check.evaluate(NOON + MINUTE)
    assert stopped() == {"summarize"}
    switch.release("summarize", reason="It was a customer.", user_id=ada.pk)
    call(25 * DOLLAR, at=NOON)
    check.evaluate(NOON + MINUTE)
    assert stopped() == set()


def test_everything_trips_when_no_feature_of_its_own_explains_it(usual: Usual) -> None:
    usual("global", "", DOLLAR)
    call(25 * DOLLAR, feature="evals")
    check.evaluate(NOON)
    assert stopped() == {GLOBAL}
    assert open_alerts() == [("cost_spike", GLOBAL)]
    assert "Everything spent $25.00" in Alert.objects.get(kind="cost_spike").summary


@pytest.mark.parametrize(("days", "trips"), [(2, False), (3, True)])
def test_two_days_are_no_history(usual: Usual, days: int, trips: bool) -> None:
    usual("feature", "summarize", DOLLAR, days=days)
    call(30 * DOLLAR, at=NOON - 5 * HOUR)
    check.evaluate(NOON)
    assert ("summarize" in stopped()) is trips


def test_without_history_a_rate_that_burns_the_cap_trips_it() -> None:
    """At twenty dollars an hour the rest of the cap lasts less than five hours."""
    call(20 * DOLLAR, at=NOON - 10 * MINUTE)
    check.evaluate(NOON)
    assert stopped() == {"summarize"}
    row = ControlChange.objects.get(feature="summarize", field="killed")
    assert "cap of $110.00 is gone in 4.5 hours" in row.reason


class TestUser:
    """Five cents and ten calls an hour are usual for ada, and many others use the feature."""

    @pytest.fixture(autouse=True)
    def _usual(self, usual: Usual, ada: User) -> None:
        usual("user", f"summarize:{ada.pk}", DOLLAR // 20)
        usual("feature", "summarize", DOLLAR)
        usual("global", "", DOLLAR)

    def test_a_user_far_above_their_usual_is_throttled_for_the_day(self, ada: User) -> None:
        call(5 * DOLLAR, user=ada)
        found = check.evaluate(NOON)
        override = RateOverride.objects.get()
        assert (override.user, override.feature) == (ada, "summarize")
        assert override.check_name == "cost_spike"
        assert override.requests_per_minute == Decimal("0.17")  # ten calls an hour
        assert override.in_flight == 1
        assert override.expires_at == midnight(NOON) + timedelta(days=1)
        assert "$5.00 today by 12:00 UTC, 4.2 times the usual $1.20" in override.reason
        assert open_alerts() == [("user_spike", f"summarize:{ada.pk}")]
        assert stopped() == set()
        assert found.result == "1 user far above the usual."

    def test_a_user_who_does_a_little_more_is_left_alone(self, ada: User) -> None:
        call(3 * DOLLAR, user=ada)
        check.evaluate(NOON)
        assert not RateOverride.objects.exists()

    def test_a_user_is_throttled_and_notified_once_a_day(self, ada: User) -> None:
        call(5 * DOLLAR, user=ada)
        check.evaluate(NOON)
        RateOverride.objects.all().delete()  # an operator: all is right
        Alert.objects.update(closed_at=Now())
        call(5 * DOLLAR, user=ada, at=NOON)
        check.evaluate(NOON + MINUTE)
        assert not RateOverride.objects.exists()
        assert Alert.objects.filter(kind="user_spike").count() == 1

    def test_the_alert_of_a_user_stays_until_the_day_ends(self, ada: User) -> None:
        call(5 * DOLLAR, user=ada)
        check.evaluate(NOON)
        check.evaluate(NOON + 4 * HOUR)
        assert open_alerts() == [("user_spike", f"summarize:{ada.pk}")]
        check.evaluate(midnight(NOON) + 24 * HOUR + MINUTE)
        assert open_alerts() == []

    def test_a_day_of_a_throttle_is_no_measure_of_the_next(self, ada: User) -> None:
        call(5 * DOLLAR, user=ada)
        check.evaluate(NOON)
        call(5 * DOLLAR, user=ada, at=NOON + 23 * HOUR)
        check.evaluate(NOON + 24 * HOUR)
        assert RateOverride.objects.count() == 2

    def test_a_throttled_users_excess_does_not_stop_the_feature(self, ada: User) -> None:
        call(10 * DOLLAR, at=MORNING)
        call(16 * DOLLAR, user=ada)
        check.evaluate(NOON)
        check.evaluate(NOON + MINUTE)
        assert stopped() == set()
        assert RateOverride.objects.exists()


@pytest.mark.parametrize(("by", "throttled"), [("cost_spike", True), ("", False)])
def test_throttled_days_do_not_count(usual: Usual, ada: User, by: str, *, throttled: bool) -> None:
    """On four of seven days the user spent twenty times the usual."""
    usual("user", f"summarize:{ada.pk}", DOLLAR // 20)
    for back in range(4):
        end = midnight(NOON) - back * 24 * HOUR
        hours = SpendHour.objects.filter(hour__lt=end, hour__gte=end - 24 * HOUR)
        hours.update(spend_micro=DOLLAR)
        RateOverride.objects.create(
            user=ada, feature="summarize", reason="r", expires_at=end, check_name=by
        )
    call(5 * DOLLAR, user=ada)
    check.evaluate(NOON)
    assert RateOverride.objects.filter(expires_at__gt=NOON).exists() is throttled


def test_failures_open_no_alert(usual: Usual, ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the check would not retry it today."""

    def full(**_: object) -> None:
        raise OSError("no space left")

    usual("user", f"summarize:{ada.pk}", DOLLAR // 20)
    call(5 * DOLLAR, user=ada)
    monkeypatch.setattr(RateOverride.objects, "create", full)
    with pytest.raises(OSError, match="no space left"):
        check.evaluate(NOON)
    assert open_alerts() == []


def test_sums_of_long_ago_are_forgotten() -> None:
    SpendHour.objects.create(
        scope="global", key="", hour=NOON - timedelta(days=61), spend_micro=1, calls=1
    )
    check.evaluate(NOON)
    assert not SpendHour.objects.exists()


def test_when_many_users_spend_too_much_it_is_the_feature(usual: Usual) -> None:
    users = [User.objects.create_user(f"user{number}") for number in range(4)]
    usual("feature", "summarize", DOLLAR)
    for user in users:
        usual("user", f"summarize:{user.pk}", DOLLAR // 20)
        call(14 * DOLLAR, user=user)
        check.evaluate(NOON)
        assert stopped() == ({"summarize"} if user is users[3] else set())


def test_a_new_account_does_not_stop_the_feature(usual: Usual, ada: User, bob: User) -> None:
    usual("feature", "summarize", DOLLAR)
    usual("global", "", DOLLAR)
    call(2 * DOLLAR, user=bob)
    call(25 * DOLLAR, user=ada)
    check.evaluate(NOON)
    assert stopped() == set()
    assert open_alerts() == [("user_spike", f"summarize:{ada.pk}")]
    alert = Alert.objects.get()
    assert f"Top spenders: user {ada.pk} (93 %), user {bob.pk} (7 %)." in alert.summary
    assert "of what summarize spends above its usual" in alert.summary
    most = {"user": ada.pk, "spent_micro": 25 * DOLLAR, "share": 0.926}
    assert alert.figures["top_spenders"][0] == most
    check.evaluate(NOON + 3 * HOUR)
    assert open_alerts() == [("user_spike", f"summarize:{ada.pk}")], "as long as the throttle"


def test_a_trip_names_the_top_spenders_by_their_ids(usual: Usual) -> None:
    usual("feature", "summarize", DOLLAR)
    users = [User.objects.create_user(f"user{number}") for number in range(12)]
    for number, user in enumerate(users):
        call(2 * DOLLAR + number, user=user, at=MORNING)
    call(6 * DOLLAR, at=MORNING)
    check.evaluate(NOON)
    assert stopped() == {"summarize"}
    alert = Alert.objects.get(kind="cost_spike", subject="summarize")
    last, before, third = (user.pk for user in reversed(users[-3:]))
    names = f"user {last} (7 %), user {before} (7 %), user {third} (7 %)"
    assert f"Top spenders: {names}." in alert.summary
    assert "user11" not in alert.summary
    assert len(alert.figures["top_spenders"]) == 10
    row = ControlChange.objects.get(feature="summarize", field="killed")
    assert row.figures is not None
    assert row.figures["top_spenders"] == alert.figures["top_spenders"]


def test_two_features_of_a_user_count_together(usual: Usual, ada: User, bob: User) -> None:
    usual("global", "", DOLLAR)
    call(13 * DOLLAR, user=ada, feature="evals", at=MORNING)
    call(13 * DOLLAR, user=ada, feature="poc", at=MORNING)
    check.evaluate(NOON)
    assert stopped() == set()
    assert open_alerts() == [("user_spike", f"evals:{ada.pk}"), ("user_spike", f"poc:{ada.pk}")]


class TestPhantomSpend:
    """The ledger counts calls that may never be billed at their ceilings."""

    @pytest.fixture(autouse=True)
    def _usual(self, usual: Usual) -> None:
        usual("feature", "summarize", DOLLAR)
        usual("global", "", DOLLAR)

    @pytest.mark.parametrize("state", ["unknown", "estimated", "started"])
    def test_an_outage_throttles_no_user_and_stops_nothing(self, ada: User, state: str) -> None:
        for _ in range(50):
            call(DOLLAR, user=ada, state=AttemptState(state), at=NOON - 10 * MINUTE)
            call(DOLLAR, state=AttemptState(state), at=NOON - 10 * MINUTE)
        found = check.evaluate(NOON)
        assert found.ok
        assert (stopped(), open_alerts()) == (set(), [])

    @pytest.mark.parametrize("state", ["unknown", "estimated"])
    def test_only_a_user_who_cancels_is_throttled(self, ada: User, state: str) -> None:
        """Eleven large documents within the hour, each cancelled while it ran."""
        for _ in range(11):
            call(992_000, user=ada, state=AttemptState(state), own=True, at=NOON - 10 * MINUTE)
        check.evaluate(NOON)
        assert stopped() == set()
        assert open_alerts() == [("user_spike", f"summarize:{ada.pk}")]

    def test_it_counts_against_a_users_own_usual(self, usual: Usual, ada: User) -> None:
        usual("user", f"summarize:{ada.pk}", DOLLAR // 20)
        for _ in range(4):
            call(DOLLAR, user=ada, state=AttemptState.UNKNOWN, own=True)
        check.evaluate(NOON)
        assert RateOverride.objects.get().user == ada

    def test_a_crowd_that_cancels_stops_the_feature(self) -> None:
        for number in range(16):
            user = User.objects.create_user(f"user{number}")
            call(2 * DOLLAR, user=user, state=AttemptState.UNKNOWN, own=True, at=MORNING)
        check.evaluate(NOON)
        assert stopped() == {"summarize"}


def test_a_crowd_within_half_an_hour_stops_the_feature(usual: Usual) -> None:
    """The day is still below its usual."""
    usual("feature", "summarize", DOLLAR)
    usual("global", "", 10 * DOLLAR)
    for number in range(8):
        user = User.objects.create_user(f"user{number}")
        call(DOLLAR // 4, user=user, at=NOON - 10 * MINUTE)
    check.evaluate(NOON)
    assert stopped() == {"summarize"}
    row = ControlChange.objects.get(feature="summarize", field="killed")
    assert "$2.00 of it in the latest half hour" in row.reason


def test_a_user_with_few_calls_keeps_one_in_ten_minutes(usual: Usual, ada: User) -> None:
    usual("user", f"summarize:{ada.pk}", DOLLAR // 20)
    SpendHour.objects.update(calls=2)
    for _ in range(20):  # today and old hours do not count in the baseline
        call(DOLLAR // 4, user=ada)
    old = {"hour": NOON - timedelta(days=8), "spend_micro": 0, "calls": 6_000}
    SpendHour.objects.create(scope="user", key=f"summarize:{ada.pk}", **old)
    check.evaluate(NOON)
    assert RateOverride.objects.get().requests_per_minute == Decimal("0.10")


def test_two_beats_in_a_minute_look_once_and_the_run_is_kept() -> None:
    assert check.run_once()
    first = CheckRun.objects.get(name="control.cost_spike")
    row = TickSlot.objects.get()
    # The minute may end now, so the next one is claimed too.
    TickSlot.objects.create(task=row.task, slot=row.slot + MINUTE)
    assert not check.run_once()
    assert first.ok
    assert first.result.startswith("Nothing unusual: $0.00 spent today")
    TickSlot.objects.filter(slot__gt=row.slot).delete()
    TickSlot.objects.update(slot=row.slot - MINUTE)
    assert check.run_once(), "the next minute is free again"


def test_a_look_costs_a_handful_of_statements(usual: Usual, ada: User) -> None:
    usual("feature", "summarize", DOLLAR)
    usual("user", f"summarize:{ada.pk}", DOLLAR)
    call(DOLLAR, user=ada)
    check.evaluate(NOON)
    with CaptureQueriesContext(connection) as statements:
        check.evaluate(NOON + MINUTE)
    assert len(statements) <= 16
