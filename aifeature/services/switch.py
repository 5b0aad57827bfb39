"""The kill switch: pulled by a person or a check, released by a person alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction

from aifeature import registry
from aifeature.models import FeatureControl, KillMode, switches
from aifeature.models.functions import as_json, rows
from aifeature.models.switches import WouldStop, would_stop
from aifeature.services import alerts, control
from aifeature.services.control import EVERYTHING
from aifeature.services.messages import sentence

BATCH: Final = 500

__all__ = ["WouldStop", "names", "release", "settle_stopped", "stop", "trip", "would_stop"]


def names() -> list[str]:
    """Everything that has a switch."""
    return [EVERYTHING, *registry.all_features()]


def stop(slug: str, *, reason: str, mode: KillMode, user_id: int) -> None:
    """Stop a feature, or EVERYTHING: no submission, no call, and those in flight are aborted.

    Args:
        slug: One of `names()`.
        reason: Why; for the audit trail.
        mode: Whether jobs that wait or run are held or cancelled.
        user_id: Who pulls it; callers check the permission `stop_feature`.

    Raises:
        ValueError: there is no such switch, or no reason.
    """
    _check(slug)
    with transaction.atomic():
        values = {"killed": True, "kill_reason": reason, "kill_mode": mode}
        control.change(slug, values, reason=reason, user_id=user_id)
    control.cache.clear()


def trip(slug: str, *, check: str, reason: str, figures: Mapping[str, Any]) -> bool:
    """A check stops a feature, or EVERYTHING; jobs are held. False: it was stopped already."""
    _check(slug)
    with transaction.atomic():  # who dies in between has stopped nothing, or told of it
        tripped = bool(rows("aif_trip", slug, check, reason, as_json(dict(figures)))[0][0])
        if tripped:
            alerts.begin("kill_switch", slug, reason, figures)
    control.cache.clear()
    return tripped


def release(slug: str, *, reason: str, user_id: int, percent: int = 100) -> None:
    """Let a feature, or EVERYTHING, go on; for all users or for a share of them.

    What was to be cancelled is so before, also if no control worker has run meanwhile.

    Args:
        slug: One of `names()`.
        reason: Why; for the audit trail.
        user_id: Who releases it; callers check the permission `release_feature`.
        percent: Share of users, 1 to 100. Called again with more, more are let in.

    Raises:
        ValueError: there is no such switch, no reason, or no such share.
    """
    _check(slug)
    if not 1 <= percent <= 100:  # noqa: PLR2004 (percent)
        raise ValueError("a release is for 1 to 100 percent of the users")
    while _cancel_stopped():
        pass
    with transaction.atomic():
        values = {"killed": False, "kill_reason": "", "release_percent": percent}
        control.change(slug, values, reason=reason, user_id=user_id)
        for kind in ("kill_switch", "overrun"):  # whoever releases it has looked at why
            alerts.end(kind, slug)
    control.cache.clear()


def settle_stopped() -> int:
    """Cancel or tell the jobs of stopped features, and tell those that go on. Run it often.

    Returns how many jobs were touched.
    """
    cancelled = _cancel_stopped()
    return cancelled + switches.tell_paused(limit=BATCH, message=sentence("feature_paused"))


def is_stopped(slug: str) -> bool:
    """Whether its own switch is pulled, by the database."""
    return FeatureControl.objects.filter(feature=slug, killed=True).exists()


def _cancel_stopped() -> int:
    return len(switches.cancel_stopped(limit=BATCH, message=sentence("cancelled_by_switch")))


def _check(slug: str) -> None:
    if slug not in names():
        raise ValueError(f"there is no feature {slug!r}: choose one of {', '.join(names())}")
