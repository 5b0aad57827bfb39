"""A circuit breaker is forced with a reason and a record, within half a second."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from aifeature.models import ControlChange, Forced, ModelControl
from aifeature.services.controls import breakers
from aifeature.services.provider import model_views
from tests.integration.clock import Clock, clock
from workers.inference import catalog
from workers.inference.breaker import Forced as Kept

pytestmark = pytest.mark.django_db

MODEL = "claude-haiku-5-5"
OTHER = "claude-opus-5-5"

__all__ = ["clock"]


@pytest.fixture
def cache(clock: Clock) -> breakers.ForcedCache:
    return breakers.ForcedCache(clock)


def force(forced: Forced, ada: User, *, reason: str = "They fail.") -> None:
    breakers.force(MODEL, forced=forced, reason=reason, user_id=ada.pk)


def test_forcing_takes_effect_and_is_audited(ada: User) -> None:
    breakers.cache.clear()
    assert breakers.forced(MODEL) == ""
    for forced in (Forced.OPEN, Forced.CLOSED, Forced.AUTOMATIC):
        force(forced, ada, reason=f"To {forced}.")
        assert breakers.forced(MODEL) == forced
        assert breakers.forced(OTHER) == ""
    rows = ControlChange.objects.order_by("id").values_list(
        "feature", "model", "field", "old", "new", "reason", "user"
    )
    assert list(rows) == [
        ("", MODEL, "breaker", "automatic", "open", "To open.", ada.pk),
        ("", MODEL, "breaker", "open", "closed", "To closed.", ada.pk),
        ("", MODEL, "breaker", "closed", "automatic", "To .", ada.pk),
    ]


def test_an_answer_that_arrives_late_is_old(
    cache: breakers.ForcedCache, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([{}, {MODEL: "open"}])

    def read_slowly() -> dict[str, Any]:
        clock.now += 6
        return next(answers)

    monkeypatch.setattr(breakers, "_read", read_slowly)
    assert cache.get(MODEL) == ""
    assert cache.get(MODEL) == "open"


def test_changes_include_those_under_the_old_name(ada: User) -> None:
    force(Forced.OPEN, ada)
    for name in (f"model:{MODEL}", f"model:{OTHER}"):
        ControlChange.objects.create(feature=name, field="breaker", reason="Before.")
    assert {row.reason for row in breakers.changes(MODEL)} == {"They fail.", "Before."}
    assert breakers.changes(MODEL).count() == 2


def test_the_reason_is_emptied_with_automatic(ada: User) -> None:
    force(Forced.OPEN, ada)
    assert ModelControl.objects.get().reason == "They fail."
    force(Forced.AUTOMATIC, ada)
    assert ModelControl.objects.get().reason == ""


@pytest.mark.parametrize(("model", "reason"), [("gpt", "r"), (MODEL, "  ")])
def test_a_wrong_model_or_no_reason_changes_nothing(ada: User, model: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"no model 'gpt'|needs a reason"):
        breakers.force(model, forced=Forced.OPEN, reason=reason, user_id=ada.pk)
    assert not ModelControl.objects.exists()
    assert not ControlChange.objects.exists()


def test_a_forced_state_is_read_again_after_half_a_second(
    cache: breakers.ForcedCache, clock: Clock
) -> None:
    assert cache.get(MODEL) == ""
    ModelControl.objects.create(model=MODEL, forced=Forced.OPEN)
    clock.now += breakers.POLL_S - 0.01
    assert cache.get(MODEL) == ""
    clock.now += 0.02
    assert cache.get(MODEL) == "open"


def test_within_half_a_second_it_is_read_once(cache: breakers.ForcedCache) -> None:
    with CaptureQueriesContext(connection) as captured:
        for _ in range(50):
            cache.get(MODEL)
            cache.get(OTHER)
    assert len(captured) == 1


def test_an_outage_keeps_the_last_known_state(
    cache: breakers.ForcedCache,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ModelControl.objects.create(model=MODEL, forced=Forced.OPEN)
    assert cache.get(MODEL) == "open"
    tries: list[None] = []
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        an_outage(patch, tries)
        for _ in range(5):
            clock.now += 1
            assert [cache.get(MODEL), cache.get(MODEL), cache.get(OTHER)] == ["open", "open", ""]
    assert len(tries) == 5, "tried again every half second, not at every call"
    assert [record for record in caplog.text.splitlines() if "cannot be read" in record][1:] == []
    assert "OperationalError" in caplog.text
    clock.now += 1
    ModelControl.objects.update(forced=Forced.AUTOMATIC)
    assert cache.get(MODEL) == ""


def test_nothing_is_forced_at_first(
    cache: breakers.ForcedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_outage(monkeypatch, [])
    assert cache.get(MODEL) == ""


def an_outage(patch: pytest.MonkeyPatch, tries: list[None]) -> None:
    def away() -> Any:
        tries.append(None)
        raise OperationalError("the server is gone")

    patch.setattr(breakers, "_read", away)


def test_one_thread_reads_for_all(
    cache: breakers.ForcedCache, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ModelControl.objects.create(model=MODEL, forced=Forced.OPEN)
    assert cache.get(MODEL) == "open"
    clock.now += 1
    seen: list[str] = []
    real = breakers._read

    def slow() -> dict[str, Kept]:
        assert len(seen) < 2, "a second thread reads as well"
        # Another thread reads while this one holds the lock.
        if not seen:
            seen.append("")
            with ThreadPoolExecutor(1) as pool:
                seen.append(pool.submit(cache.get, MODEL).result(timeout=20))
        return real()

    monkeypatch.setattr(breakers, "_read", slow)
    assert cache.get(MODEL) == "open"
    assert seen[1] == "open"


def test_each_model_is_shown_with_its_forced_state(ada: User) -> None:
    force(Forced.OPEN, ada)
    views = {view.model: view for view in model_views.views()}
    assert list(views) == list(catalog.known_models())
    assert (views[MODEL].forced, views[MODEL].reason) == (Forced.OPEN, "They fail.")
    assert views[OTHER].forced == Forced.AUTOMATIC
    assert views[OTHER].live.shared
