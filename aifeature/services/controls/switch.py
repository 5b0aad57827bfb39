"""The kill switch: pulled by a person or a check, released by a person alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from django.db import Error, transaction

from aifeature import registry
from aifeature.models import FeatureControl, KillMode, switches
from aifeature.models.functions import as_json, rows, urgently
from aifeature.models.switches import WouldStop, would_stop
from aifeature.reasons import WaitReason
from aifeature.services.alerting import alerts
from aifeature.services.controls import effective
from aifeature.services.controls.effective import GLOBAL
from aifeature.services.texts import CANCELLED_BY_SWITCH, WAITING

logger = logging.getLogger(__name__)

BATCH: Final = 500

STOPPED: Final = ("kill_switch", "overrun")
"""Kinds of alerts that are about a pulled switch, and end with its release."""

__all__ = [
    "WouldStop",
    "change_reason",
    "exists",
    "names",
    "release",
    "settle_stopped",
    "stop",
    "trip",
    "would_stop",
]


def names() -> list[str]:
    """Everything that has a switch.

    That is GLOBAL, each feature of the code, also one that does not load, and each feature
    that has a control row, also when the code lacks it.
    """
    known = FeatureControl.objects.values_list("feature", flat=True)
    return [GLOBAL, *sorted({*registry.slugs(), *known} - {GLOBAL})]


def exists(slug: str) -> bool:
    """Whether there is a switch of this name. The database is asked only if the code lacks it."""
    if slug == GLOBAL or slug in registry.slugs():
        return True
    return FeatureControl.objects.filter(feature=slug).exists()


def stop(slug: str, *, reason: str, mode: KillMode, user_id: int) -> bool:
    """Stop a feature, or GLOBAL: no submission, no call, and those in flight are aborted.

    It depends on no other column of the control, and on nothing in the code of the feature.

    Args:
        slug: One of `names()`.
        reason: Why; for the audit trail.
        mode: Whether jobs that wait or run are held or cancelled.
        user_id: Who pulls it; callers check the permission `stop_feature`.

    Returns:
        False if it was stopped already. Then nothing is changed: see `change_reason`.

    Raises:
        ValueError: there is no such switch, or no reason.
        django.db.Error: the database refused within two seconds; `switch_refusal` names the cause.
    """
    _check_reason(reason)
    with urgently():
        _check(slug)
        stopped = switches.stop(slug, mode=mode.value, reason=reason, user_id=user_id)
    effective.cache.clear()
    return stopped


def change_reason(slug: str, *, reason: str, mode: KillMode, user_id: int) -> bool:
    """Change why a stopped feature, or GLOBAL, is stopped, and what becomes of its jobs.

    Args:
        slug: One of `names()`.
        reason: The new one; it also stands in the audit trail.
        mode: Whether jobs that wait or run are held or cancelled from now on.
        user_id: Who changes it; callers check the permission `stop_feature`.

    Returns:
        False if it is not stopped. Then nothing is changed.

    Raises:
        ValueError: there is no such switch, or no reason.
        django.db.Error: the database refused within two seconds; `switch_refusal` names the cause.
    """
    _check_reason(reason)
    with urgently():
        _check(slug)
        changed = switches.change_reason(slug, mode=mode.value, reason=reason, user_id=user_id)
    effective.cache.clear()
    return changed


def trip(slug: str, *, check: str, reason: str, figures: Mapping[str, Any]) -> bool:
    """A check stops a feature, or GLOBAL; jobs are held. False: it was stopped already."""
    with urgently():
        _check(slug)
        with transaction.atomic():  # both or neither, if the process dies in between
            tripped = bool(rows("aif_trip", slug, check, reason, as_json(dict(figures)))[0][0])
            if tripped:
                alerts.begin("kill_switch", slug, reason, figures)
    effective.cache.clear()
    return tripped


def release(slug: str, *, reason: str, user_id: int, percent: int = 100) -> None:
    """Let a feature, or GLOBAL, go on; for all users or for a share of them.

    What was to be cancelled is so before, also if no control worker has run meanwhile.

    Args:
        slug: One of `names()`.
        reason: Why; for the audit trail.
        user_id: Who releases it; callers check the permission `release_feature`.
        percent: Share of users, 1 to 100. Called again with more, more are let in.

    Raises:
        ValueError: there is no such switch, no reason, or no such share.
        django.db.Error: the database refused within two seconds; `switch_refusal` names the cause.
    """
    _check_reason(reason)
    if not 1 <= percent <= 100:  # noqa: PLR2004 (percent)
        raise ValueError("a release is for 1 to 100 percent of the users")
    with urgently():
        _check(slug)
        if _cancels(slug):
            while _cancel_stopped():
                pass
        switches.release(slug, percent=percent, reason=reason, user_id=user_id)
        _end_alerts(slug)
    effective.cache.clear()


def settle_stopped() -> int:
    """Cancel or tell the jobs of stopped features, and tell those that go on. Run it often.

    Returns how many jobs were touched.
    """
    cancelled = _cancel_stopped()
    return cancelled + switches.tell_paused(limit=BATCH, message=WAITING[WaitReason.FEATURE_PAUSED])


def is_stopped(slug: str) -> bool:
    """Whether its own switch is pulled, by the database."""
    return FeatureControl.objects.filter(feature=slug, killed=True).exists()


def _cancels(slug: str) -> bool:
    cancelling = FeatureControl.objects.filter(killed=True, kill_mode=KillMode.CANCEL)
    return cancelling.filter(feature=slug).exists()


def _cancel_stopped() -> int:
    return len(switches.cancel_stopped(limit=BATCH, message=CANCELLED_BY_SWITCH))


def _end_alerts(slug: str) -> None:
    """The person who releases it has seen why. An alert that cannot be ended undoes no release."""
    try:
        with transaction.atomic():
            for kind in STOPPED:
                alerts.end(kind, slug)
    except Error:
        logger.warning("alerts of %s stay open until the next check of controls", slug)


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise ValueError("a change of a control needs a reason")


def _check(slug: str) -> None:
    if not exists(slug):
        raise ValueError(f"there is no feature {slug!r}: choose one of {', '.join(names())}")
