"""The messages of a stopped feature: in its form, and on the pages of jobs already sent."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aifeature.models import FeatureControl, Job, KillMode, Status
from aifeature.services.controls import effective, switch
from aifeature.services.controls.effective import GLOBAL
from aifeature.services.dispatch import recovery
from tests.browser import scenes

FORM = "/f/summarize/"
HELD = "Paused by our team. Your request is kept and continues by itself."


KEPT = "What you sent before is kept"


def stop(slug: str, boss: User, mode: KillMode = KillMode.HOLD) -> None:
    switch.stop(slug, reason="Answers leak.", mode=mode, user_id=boss.pk)


def text_of(response: Any) -> str:
    return " ".join(response.content.decode().split())


@pytest.mark.parametrize("slug", ["summarize", GLOBAL])
def test_a_paused_feature_is_announced_early(ada_client: Client, bob: User, slug: str) -> None:
    for path, words in [("/", "Paused by our team"), (FORM, "data-paused")]:
        assert words not in text_of(ada_client.get(path))
    stop(slug, bob)
    for path, words in [("/", "Paused by our team"), (FORM, "data-paused")]:
        assert words in text_of(ada_client.get(path))
    switch.release(slug, reason="Mended.", user_id=bob.pk)
    assert "data-paused" not in text_of(ada_client.get(FORM))


@pytest.mark.parametrize("slug", ["summarize", GLOBAL])
def test_a_cancelling_stop_keeps_nothing(
    ada_client: Client, ada: User, bob: User, slug: str
) -> None:
    scenes.job(ada, Status.QUEUED)
    stop(slug, bob, KillMode.CANCEL)
    page = text_of(ada_client.get(FORM))
    assert "data-paused" in page
    assert KEPT not in page
    switch.release(slug, reason="Mended.", user_id=bob.pk)
    stop(slug, bob)
    assert KEPT in text_of(ada_client.get(FORM))


def test_a_partial_release_depends_on_the_user(ada_client: Client, bob: User, opened: None) -> None:
    stop("summarize", bob)
    switch.release("summarize", reason="Mended.", user_id=bob.pk, percent=50)
    for number in range(12):
        visitor = Client()
        visitor.force_login(User.objects.create_user(f"user{number}"))
        is_paused = "data-paused" in text_of(visitor.get(FORM))
        sent = visitor.post(FORM, {"in-document": "A text.", "key": "k"})
        assert sent.status_code == (503 if is_paused else 303)


def test_a_held_job_shows_that_it_is_kept(ada_client: Client, ada: User, bob: User) -> None:
    job = scenes.job(ada, Status.QUEUED)
    stop("summarize", bob)
    recovery.sweep()
    for path in [f"/jobs/{job.id}/", f"/jobs/{job.id}/?part"]:
        page = text_of(ada_client.get(path))
        assert HELD in page
        assert "try again" not in page.lower()
        assert 'data-label="Paused"' in page
    shown = ada_client.get(f"/api/v1/jobs/{job.id}").json()["error"]
    assert shown == {"code": "feature_paused", "message": HELD}
    switch.release("summarize", reason="Mended.", user_id=bob.pk)
    recovery.sweep()
    assert HELD not in text_of(ada_client.get(f"/jobs/{job.id}/"))


def test_a_job_held_for_too_long_fails(ada_client: Client, ada: User, bob: User) -> None:
    job = scenes.job(ada, Status.QUEUED)
    stop("summarize", bob)
    recovery.sweep()
    Job.objects.filter(pk=job.pk).update(deadline_at=job.created_at)
    recovery.sweep()
    job.refresh_from_db()
    assert (job.status, job.error_code) == (Status.FAILED, "feature_paused")
    page = text_of(ada_client.get(f"/jobs/{job.id}/"))
    assert "for longer than your request could wait" in page
    assert HELD not in page


@pytest.mark.parametrize(
    "limit", ["user_daily_budget_usd", "user_daily_spend_usd", "daily_budget_usd"]
)
def test_a_spent_budget_is_announced_before_typing(ada_client: Client, limit: str) -> None:
    assert "data-closed" not in text_of(ada_client.get(FORM))
    FeatureControl.objects.update_or_create(feature="summarize", defaults={limit: "0.00"})
    effective.cache.clear()
    opened = ada_client.get(FORM)
    assert opened.status_code == 200
    assert "data-closed" in text_of(opened)
    sent = ada_client.post(FORM, {"in-document": "A text.", "key": "k"})
    assert sent.status_code in {429, 503}
    (reason,) = re.findall(r"data-closed><strong>[^<]*</strong> ([^<]*)<", opened.text)
    assert reason in text_of(sent), "the same sentence as after sending"
