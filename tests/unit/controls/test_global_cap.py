"""The cap of a day over all features exists by default, and its source is named."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from decimal import Decimal
from queue import Queue
from typing import Any

import pytest
from django.db import OperationalError

from aifeature import registry, system_checks
from aifeature.policies.budget import GlobalDaily, global_daily
from aifeature.services.controls import effective, global_cap

CAPS = {"answer": Decimal(20), "triage": Decimal(5)}
EVALS = Decimal(10)
SUM = "the sum of the features' daily caps and EVALS_DAILY_BUDGET_USD"


@pytest.mark.parametrize(
    ("features", "admin", "setting", "said"),
    [
        (CAPS, None, None, f"$35.00, {SUM}"),
        (CAPS, None, Decimal(9), "$9.00, from GLOBAL_DAILY_BUDGET_USD"),
        (CAPS, Decimal(7), Decimal(9), "$7.00, set in admin"),
        ({**CAPS, "free": None}, None, None, "no cap, since free has none and none is set for all"),
        ({"free": None}, None, Decimal(0), "$0.00, from GLOBAL_DAILY_BUDGET_USD"),
        (CAPS, Decimal(0), Decimal(9), "$0.00, set in admin"),
    ],
)
def test_a_cap_that_is_set_replaces_the_sum(
    features: dict[str, Decimal | None], admin: Decimal | None, setting: Decimal | None, said: str
) -> None:
    assert str(global_daily(features, evals=EVALS, admin=admin, setting=setting)) == said


@dataclass
class _Limits:
    daily_budget_usd: Decimal | None


@dataclass
class _Feature:
    limits: _Limits


@pytest.mark.parametrize(("cap", "warned"), [(Decimal(5), False), (None, True)])
def test_a_feature_without_a_cap_is_a_warning_at_boot(
    cap: Decimal | None, warned: bool, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.AIFEATURE = {**settings.AIFEATURE, "GLOBAL_DAILY_BUDGET_USD": None}
    monkeypatch.setattr(registry, "offered", lambda: {"free": _Feature(_Limits(cap))})
    found = system_checks.check_global_cap()
    assert [each.id for each in found] == (["aifeature.W010"] if warned else [])


def test_boot_logs_the_cap_and_its_source(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="aifeature")
    monkeypatch.setattr(effective, "global_daily", lambda: GlobalDaily(Decimal(50), "set in admin"))
    global_cap.announce()
    assert "Global daily cap: $50.00, set in admin." in caplog.text


def test_boot_goes_on_without_a_database(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away() -> GlobalDaily:
        raise OperationalError("no route")

    monkeypatch.setattr(effective, "global_daily", away)
    global_cap.announce()
    assert "Global daily cap not read: OperationalError." in caplog.text


def test_the_announcement_has_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that does not answer keeps no web process from serving."""
    threads: Queue[int] = Queue()
    monkeypatch.setattr(global_cap, "announce", lambda: threads.put(threading.get_ident()))
    global_cap.announce_soon()
    assert threads.get(timeout=60) != threading.get_ident()
