"""The page of a canary: it shows the e-curve, and each button has its permission."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from aifeature.models import Canary
from aifeature.services.rollout import canaries
from tests import proof
from tests.canary_rows import plant, proven, started
from tests.integration.admin.conftest import Staff

pytestmark = pytest.mark.slow

LIST = "/admin/aifeature/canary/"
FEATURE = "/admin/aifeature/featurecontrol/summarize/change/"
ACTIONS = ("share", "hold", "go_on", "promote", "stop")


def press(page: Client, key: object, action: str, **values: Any) -> Any:
    form = {"_form_submitted": "on", "reason": "Because.", **values}
    return page.post(f"{LIST}{key}/{action}/", form)


def test_page_shows_the_curve_and_the_figures_and_writes_nothing(page: Client, boss: User) -> None:
    canary = started(boss)
    assert "No users were compared yet." in page.get(f"{LIST}{canary.pk}/change/").text
    plant(canary, "live", 60, harmed=3)
    plant(canary, "candidate", 60, harmed=30)
    canaries.check()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        text = page.get(f"{LIST}{canary.pk}/change/").text
    written = [q["sql"] for q in queries if q["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]
    assert not [each for each in written if "aifeature" in each]
    assert '<polyline class="errors"' in text
    assert "Rolled back by its figures" in text
    assert "30 of 60 (50.0%)" in text
    assert "Change share" not in text  # it is over
    assert " style=" not in text.partition("<svg viewBox")[2].partition("</svg>")[0]
    card = page.get(FEATURE).text
    assert "Ended canaries: 1" in card
    assert "Start a canary" in card


def test_dialogs_act_with_the_permission_alone_and_show_refusals(
    page: Client, boss: User, staff: Staff
) -> None:
    proof.open_to_users("summarize")
    values = {"version": "v3", "percent": 10, "latency_limit_s": 5, "promotes": "on"}
    visitor = staff("view_canary", "view_featurecontrol")
    assert press(visitor, "summarize", "start", **values).status_code == 403
    assert "can be a candidate" in page.get(f"{LIST}summarize/start/").text
    assert press(page, "judge", "start", **values).status_code == 404  # it has no users
    proven()
    assert press(page, "summarize", "start", **values).status_code == 302
    canary = Canary.objects.get()
    assert (canary.latency_limit_ms, canary.promotes, canary.created_by) == (5000, True, boss)
    assert "Stop it first" in press(page, "summarize", "start", **values).text
    for action in ACTIONS:
        assert press(visitor, canary.pk, action, percent=20).status_code == 403
    assert "Change share" not in visitor.get(f"{LIST}{canary.pk}/change/").text
    assert "Canary v3 against v4" in visitor.get(FEATURE).text

    assert "Its figures do not permit it" in press(page, canary.pk, "promote").text
    assert press(page, canary.pk, "share", percent=20).status_code == 302
    assert press(page, canary.pk, "hold").status_code == 302
    assert "<strong>Held.</strong> Because." in page.get(f"{LIST}{canary.pk}/change/").text
    assert press(page, canary.pk, "go_on").status_code == 302
    assert press(page, canary.pk, "stop", reason="").status_code == 200
    assert press(page, canary.pk, "stop").status_code == 302
    assert "It is over" in press(page, canary.pk, "stop").text
    assert press(page, "x", "stop").status_code == 404
    canary.refresh_from_db()
    assert (canary.state, canaries.share_of(canary)) == ("stopped", 20)
