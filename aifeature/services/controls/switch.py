"""The kill switch. A person or a check pulls it; only a person releases it."""

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
"""Kinds of alerts that are closed when the switch is released."""

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
    """Return the names of all switches.

    These are GLOBAL, each feature of the code, even if it does not load, and each feature with a
    control row, even if the code lacks it.
    """
    stored = FeatureControl.objects.values_list("feature", flat=True)
    return [GLOBAL, *sorted({*registry.slugs(), *stored} - {GLOBAL})]


def exists(slug: str) -> bool:
    """Return whether the switch exists. Queries the database only if the code lacks it."""
    if slug == GLOBAL or slug in registry.slugs():
        return True
    return FeatureControl.objects.filter(feature=slug).exists()


def stop(slug: str, *, reason: str, mode: KillMode, user_id: int) -> bool:
    """Stop a feature, or GLOBAL: refuse submissions and calls, and abort calls in flight.

    This depends on no other column of the control and on nothing in the feature's code.

    Args:
        slug: One of `names()`.
        reason: For the audit log.
        mode: Whether queued and running jobs are held or cancelled.
        user_id: The operator; callers check the permission `stop_feature`.

    Returns:
        False if it is stopped already. Nothing is changed then; use `change_reason`.

    Raises:
        ValueError: The switch does not exist, or the reason is empty.
        django.db.Error: The database refused within two seconds; see `switch_refusal`.
    """
    _check_reason(reason)
    with urgently():
        _check(slug)
        stopped = switches.stop(slug, mode=mode.value, reason=reason, user_id=user_id)
    effective.cache.clear()
    return stopped


def change_reason(slug: str, *, reason: str, mode: KillMode, user_id: int) -> bool:
    """Change the reason and the mode of a stopped feature, or of GLOBAL.

    Args:
        slug: One of `names()`.
        reason: The new reason, also for the audit log.
        mode: Whether queued and running jobs are held or cancelled from now on.
        user_id: The operator; callers check the permission `stop_feature`.

    Returns:
        False if it is not stopped. Nothing is changed then.

    Raises:
        ValueError: The switch does not exist, or the reason is empty.
        django.db.Error: The database refused within two seconds; see `switch_refusal`.
    """
    _check_reason(reason)
    with urgently():
        _check(slug)
        changed = switches.change_reason(slug, mode=mode.value, reason=reason, user_id=user_id)
    effective.cache.clear()
    return changed


def trip(slug: str, *, check: str, reason: str, figures: Mapping[str, Any]) -> bool:
    """Stop a feature, or GLOBAL, for a check. Jobs are held. Return False if already stopped."""
    with urgently():
        _check(slug)
        with transaction.atomic():  # no trip without its alert
            tripped = bool(rows("aif_trip", slug, check, reason, as_json(dict(figures)))[0][0])
            if tripped:
                alerts.begin("kill_switch", slug, reason, figures)
    effective.cache.clear()
    return tripped


def release(slug: str, *, reason: str, user_id: int, percent: int = 100) -> None:
    """Release the switch of a feature, or of GLOBAL, for all users or a share of them.

    Jobs stopped with the mode CANCEL are cancelled first, even if no control worker runs.

    Args:
        slug: One of `names()`.
        reason: For the audit log.
        user_id: The operator; callers check the permission `release_feature`.
        percent: Share of users, 1 to 100. A second call can raise it.

    Raises:
        ValueError: The switch or the share is invalid, or the reason is empty.
        django.db.Error: The database refused within two seconds; see `switch_refusal`.
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
    """Apply the switches to waiting and running jobs. Call it often.

    Cancels jobs, or sets or clears their wait reason. Returns the number of changed jobs.
    """
    cancelled = _cancel_stopped()
    return cancelled + switches.update_paused_messages(
        limit=BATCH, message=WAITING[WaitReason.FEATURE_PAUSED]
    )


def is_stopped(slug: str) -> bool:
    """Return whether the switch itself is pulled, from the database."""
    return FeatureControl.objects.filter(feature=slug, killed=True).exists()


def _cancels(slug: str) -> bool:
    cancelling = FeatureControl.objects.filter(killed=True, kill_mode=KillMode.CANCEL)
    return cancelling.filter(feature=slug).exists()


def _cancel_stopped() -> int:
    return len(switches.cancel_stopped(limit=BATCH, message=CANCELLED_BY_SWITCH))


def _end_alerts(slug: str) -> None:
    """Close alerts the operator has seen before the release. A failure does not undo it."""
    try:
        with transaction.atomic():
            for kind in STOPPED:
                alerts.end(kind, slug)
    except Error:
        logger.warning("alerts of %s not closed: the next check of controls closes them", slug)


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise ValueError("a change of a control needs a reason")


def _check(slug: str) -> None:
    if not exists(slug):
        raise ValueError(f"there is no feature {slug!r}: choose one of {', '.join(names())}")
