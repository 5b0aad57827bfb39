"""The page of models shows each breaker, and forces one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client

from aifeature.admin.controls import breaker_rows
from aifeature.models import ControlChange, Forced, ModelControl
from aifeature.services.controls import breakers
from aifeature.services.provider import factory
from aifeature.services.provider.model_views import LimitStatus, Live, ModelView
from tests.integration.admin.conftest import Staff
from workers.inference import catalog
from workers.inference.breaker import BreakerPolicy
from workers.inference.errors import ProviderFault
from workers.sandbox.limits import GENEROUS

LIST = "/admin/aifeature/modelcontrol/"
MODEL = "claude-haiku-5-5"
DETAIL = f"{LIST}{MODEL}/change/"


def press(page: Client, what: str, reason: str = "They fail.") -> Any:
    return page.post(f"{LIST}{MODEL}/{what}/", {"_form_submitted": "on", "reason": reason})


@pytest.fixture
def no_breakers(settings: Any) -> Iterator[None]:
    """Delete the states of the breakers after the test."""
    yield
    with redis.Redis.from_url(settings.REDIS_URL, protocol=2) as client:
        for key in [f"aif:breaker:{MODEL}", f"aif:limits:{MODEL}"]:
            client.delete(key)


def test_the_pages_show_what_the_workers_found(page: Client, no_breakers: None) -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "4000",
        "anthropic-ratelimit-requests-remaining": "3000",
    }
    for _ in range(BreakerPolicy().minimum):
        admission = factory.gate().admit(model=MODEL, input_tokens=1, output_tokens=1)
        admission.failed(ProviderFault("500", rate_limits=headers))
    for address in (DETAIL, LIST, "/admin/aifeature/featurecontrol/summarize/change/"):
        text = page.get(address).text
        assert "open, retries in" in text
        assert "100% of 10" in text
        assert "of 4,000/min" in text


def test_every_model_of_the_catalog_has_a_row(page: Client, db: None) -> None:
    for text in (page.get(LIST).text, page.get(LIST).text):
        for model in catalog.known_models():
            assert model in text
    assert ModelControl.objects.count() == len(catalog.known_models())
    ModelControl.objects.create(model="claude-1")
    assert "claude-1" not in page.get(LIST).text


@pytest.mark.parametrize(
    ("what", "forced", "words"),
    [
        ("force_open", Forced.OPEN, "forced open: no calls are sent"),
        ("force_closed", Forced.CLOSED, "forced closed: all calls are sent"),
    ],
)
def test_a_breaker_is_forced_and_released(
    page: Client, boss: User, what: str, forced: Forced, words: str
) -> None:
    assert press(page, what)["HX-Redirect"] == DETAIL
    assert breakers.forced(MODEL) == forced
    for address in (LIST, DETAIL):
        assert words in page.get(address).text
    press(page, "automatic", "Over.")
    assert breakers.forced(MODEL) == ""
    assert words not in page.get(LIST).text
    rows = ControlChange.objects.order_by("id")
    assert [(row.model, row.user, row.reason) for row in rows] == [
        (MODEL, boss, "They fail."),
        (MODEL, boss, "Over."),
    ]
    text = page.get(DETAIL).text
    assert "Latest changes" in text
    assert "They fail." in text


def test_forcing_without_a_reason_is_refused(page: Client, db: None) -> None:
    answer = press(page, "force_open", "  ")
    assert "reason" in answer.context["form"].errors
    assert not ModelControl.objects.exclude(forced="").exists()


def test_forcing_has_a_permission_of_its_own(staff: Staff, page: Client) -> None:
    page.get(LIST)
    viewer = staff("view_modelcontrol", "change_modelcontrol")
    assert viewer.get(DETAIL).status_code == 200
    for what in ("force_open", "force_closed", "automatic"):
        assert f"/{what}/" not in viewer.get(DETAIL).text
        assert press(viewer, what).status_code == 403
    assert breakers.forced(MODEL) == ""
    press(staff("view_modelcontrol", "force_breaker"), "force_open")
    assert breakers.forced(MODEL) == "open"


def test_an_unknown_model_is_not_found(page: Client, db: None) -> None:
    form = {"_form_submitted": "on", "reason": "r"}
    assert page.post(f"{LIST}gpt/force_open/", form).status_code == 404


@pytest.mark.parametrize(
    ("view", "colour", "words"),
    [
        (ModelView("m", Live("closed", 0, 0, 0)), "closed", "closed"),
        (ModelView("m", Live("open", 10, 0.5, 0)), "open", "open"),
        (ModelView("m", Live("open", 10, 0.5, 0, open_for_s=12)), "open", "retries in 12 s"),
        (ModelView("m", Live("half_open", 10, 1, 0)), "trying", "half-open"),
        (ModelView("m", Live("closed", 0, 0, 0, shared=False)), "closed", "Redis is unavailable"),
        (ModelView("m", Live("closed", 9, 0, 0), Forced.OPEN), "open", "no calls are sent"),
        (ModelView("m", Live("open", 9, 1, 0), Forced.CLOSED), "forced", "all calls are sent"),
    ],
)
def test_the_state_in_words(view: ModelView, colour: str, words: str) -> None:
    found, text = breaker_rows.state(view)
    assert found == colour
    assert words in text


def test_rates_and_limits_in_words() -> None:
    left = (LimitStatus("requests", 4_000, 12), LimitStatus("input tokens", 2_000_000, 1_500))
    live = Live("closed", 50, 0.04, 0.5, limits=left, blocked_s=3)
    assert breaker_rows.failed(live) == "4% of 50"
    assert breaker_rows.slow(live) == "50%"
    assert breaker_rows.limits(live) == (
        "requests: 12 of 4,000/min; input tokens: 1,500 of 2,000,000/min;"
        " provider asked to wait 3.0 s"
    )
    huge = LimitStatus("output tokens", GENEROUS, GENEROUS - 7)
    assert breaker_rows.limits(Live("closed", 0, 0, 0, limits=(huge, huge))) == "no limit"
    some = Live("closed", 0, 0, 0, limits=(left[0], huge))
    assert breaker_rows.limits(some) == "requests: 12 of 4,000/min"
    nothing = Live("closed", 0, 0, 0)
    assert (breaker_rows.failed(nothing), breaker_rows.slow(nothing)) == ("-", "-")
    assert breaker_rows.limits(nothing) == "not reported yet"


@pytest.mark.parametrize("forced", Forced)
def test_the_page_of_a_model_shows_its_breaker_in_words(page: Client, forced: Forced) -> None:
    ModelControl.objects.create(model=MODEL, forced=forced, reason="r")
    words = breaker_rows.state(ModelView(MODEL, Live("closed", 0, 0, 0), forced))[1]
    text = page.get(DETAIL).text
    assert f">{words}</div>" in text
    assert "(&#x27;" not in text
