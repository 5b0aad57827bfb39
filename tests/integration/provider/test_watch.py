"""On-call is notified once of an open breaker, and once when it closes."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from aifeature.models import Alert, CheckRun, Forced
from aifeature.services.controls import breakers
from aifeature.services.provider import factory
from tests.integration.conftest import empty_gates
from tests.integration.execution.test_gated import HAIKU, SONNET, open_breaker, set_probe_time
from workers import tasks
from workers.inference import Billing, Deferred, ProviderFault
from workers.inference.breaker import BreakerPolicy

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_forced() -> None:
    breakers.cache.clear()


def test_an_open_breaker_has_one_alert_until_it_closes(ada: User) -> None:
    assert tasks.check_provider() == "Calls to every model go through."
    open_breaker(HAIKU)
    for _ in range(2):
        assert tasks.check_provider() == f"Nothing is sent to {HAIKU}."
    alert = Alert.objects.get()
    assert (alert.kind, alert.subject, alert.closed_at) == ("breaker_open", HAIKU, None)
    assert f"of the {BreakerPolicy().minimum} calls that opened it 100% failed" in alert.summary
    assert not CheckRun.objects.get(name="control.provider").ok
    breakers.force(HAIKU, forced=Forced.CLOSED, reason="Known to be well.", user_id=ada.pk)
    assert tasks.check_provider() == "Calls to every model go through."
    assert Alert.objects.get().closed_at is not None


def test_an_outage_of_the_provider_is_one_alert_that_names_it() -> None:
    for model in (HAIKU, SONNET):
        open_breaker(model)
    for _ in range(2):
        assert tasks.check_provider() == (
            f"Nothing is sent to {HAIKU}, {SONNET}."
            " The provider is down: jobs wait, and none falls back."
        )
    alert = Alert.objects.get(kind="provider_outage")
    assert (alert.subject, alert.figures) == ("sandbox", {"models": [HAIKU, SONNET]})
    assert alert.summary.startswith(f"The provider sandbox is down: {HAIKU} and {SONNET} failed")
    empty_gates()  # the breakers are closed again
    tasks.check_provider()
    assert not Alert.objects.filter(closed_at=None).exists()


def test_an_alert_about_one_call_reads_as_one() -> None:
    gate = factory.gate()
    open_breaker(HAIKU)
    with pytest.raises(Deferred) as deferred:
        gate.admit(model=SONNET, input_tokens=1, output_tokens=1, fallback=True)
    assert deferred.value.probe is not None
    deferred.value.probe.failed(ProviderFault("500", billing=Billing.NONE))
    tasks.check_provider()
    summary = Alert.objects.get(kind="breaker_open", subject=SONNET).summary
    assert f"breaker of {SONNET} is open: the call that opened it failed. Jobs" in summary


def test_an_alert_goes_on_while_the_model_is_tried() -> None:
    """Otherwise each probe of a long outage would end the alert and begin another."""
    open_breaker(HAIKU)
    tasks.check_provider()
    set_probe_time(HAIKU, in_s=0)
    with pytest.raises(Deferred):
        factory.gate().admit(model=HAIKU, input_tokens=1, output_tokens=1)
    assert factory.gate().breaker(HAIKU).state == "half_open"
    assert tasks.check_provider() == f"Nothing is sent to {HAIKU}."
    assert Alert.objects.get().closed_at is None


def test_the_alert_of_a_forced_breaker_has_its_reason(ada: User) -> None:
    breakers.force(HAIKU, forced=Forced.OPEN, reason="Odd answers.", user_id=ada.pk)
    tasks.check_provider()
    summary = f"An operator forced the breaker of {HAIKU} open: Odd answers."
    assert Alert.objects.get().summary == summary


def test_a_forced_breaker_refuses_the_next_call(ada: User) -> None:
    breakers.force(HAIKU, forced=Forced.OPEN, reason="Odd answers.", user_id=ada.pk)
    with pytest.raises(Deferred, match="breaker"):
        factory.gate().admit(model=HAIKU, input_tokens=1, output_tokens=1)
