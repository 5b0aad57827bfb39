"""The check of open canaries: it rolls back, holds and promotes.

It reads all rows again each time, so a restart or an hour without it changes the time of a decision
alone. The database's clock counts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q

from aifeature import registry
from aifeature.models import Canary, Evidence, FeatureControl
from aifeature.models.canary import OPEN
from aifeature.models.functions import database_now
from aifeature.policies import canary as policy
from aifeature.policies.canary import Figures
from aifeature.services import controls
from aifeature.services.alerting import alerts
from aifeature.services.alerting.check_runs import Found
from aifeature.services.controls.live import LivePrompt
from aifeature.services.promotion import RefusedError, activations
from aifeature.services.rollout import canary_figures, canary_rows, canary_states
from aifeature.services.rollout.canary_states import CHECK, ROLLED_BACK, State

logger = logging.getLogger(__name__)

LONGEST_GAP_S: Final = 300.0
"""Most seconds between two checks for the time between them to count as watched."""

SPLIT_WRONG: Final = (
    "The numbers of users in the two arms do not fit the share, so the arms may differ in more than"
    " the prompt."
)

ALERT_LASTS: Final = timedelta(days=1)
"""Time for which the alert about a roll-back stays open. Nothing has to be repaired."""


def check(*, now: Callable[[], datetime] = database_now) -> Found:
    """Decide about each open canary. Another process may do so at the same time.

    `now` returns the present time. A canary whose check fails is left as it is.
    """
    alerts.end_unseen(ROLLED_BACK, ALERT_LASTS)
    results, ok = [], True
    rows = Canary.objects.filter(state__in=OPEN, provider=controls.live.provider())
    for pk in rows.order_by("pk").values_list("pk", flat=True):
        try:
            with transaction.atomic():
                locked = rows.select_for_update(skip_locked=True).filter(pk=pk).first()
                if locked is not None:
                    results.append(_decide(locked, now()))
        except Exception:
            logger.exception("canary %d: not checked", pk)
            results.append(f"Canary {pk} could not be checked: see the log.")
            ok = False
    controls.clear_cache()
    return Found(ok=ok, result=" ".join(results) or "No canary is open.")


def is_switched_off(slug: str) -> bool:
    """Return whether the feature's kill switch or the global one is pulled."""
    rows = FeatureControl.objects.filter(feature__in=(slug, controls.GLOBAL), killed=True)
    return rows.exists()


def _decide(canary: Canary, now: datetime) -> str:
    """Decide about a locked canary. Return a sentence."""
    name = f"The canary of {canary.feature} {canary.version}"
    if is_switched_off(canary.feature):
        return f"{name} waits: a kill switch is pulled."
    if cause := gone(canary) or _too_long(canary, now):
        canary_states.end(canary, State.STOPPED, None, reason=cause, check_name=CHECK)
        return f"{name} was stopped: {cause}"
    found = canary_rows.read(canary)
    _store(canary, found, now)
    return _by_figures(canary, found, now, name)


def _by_figures(canary: Canary, found: Figures, now: datetime, name: str) -> str:
    if found.alarms:
        reason = worse(found)
        canary_states.end(canary, State.ROLLED_BACK, found, reason=reason, check_name=CHECK)
        text = f"{name} was rolled back, and its users get {canary.live_version} again. {reason}"
        alerts.begin(ROLLED_BACK, canary.feature, text, canary_figures.in_brief(found))
        return text
    if canary.state != State.HELD and found.is_split_wrong:
        canary_states.hold(canary, found, reason=SPLIT_WRONG, check_name=CHECK)
    if canary.state == State.HELD:
        return f"{name} is held: {canary.hold_reason}"
    if not canary.promotes or missing(canary, found, now):
        return f"{name} goes on with {found.users} users."
    return _promote(canary, found, name)


def gone(canary: Canary) -> str:
    """Return why a canary compares nothing any more; empty if it does."""
    feature = registry.find(canary.feature)
    if feature is None or feature.internal:
        return "This code has no such feature for users."
    if not FeatureControl.objects.filter(feature=canary.feature).exists():
        return "The settings of the feature were deleted."
    current = activations.live_row(canary.feature)
    if current is None or current.prompt_hash != canary.live_hash:
        now = f"{current.version} is live now" if current else "No version is live now"
        return f"{now}, and no longer what it was compared with."
    if not controls.live.has(feature, LivePrompt(canary.version, canary.prompt_hash)):
        return "This code lacks the candidate."
    worse_since = Evidence.objects.filter(
        Q(fingerprint=canary.evidence.fingerprint) | Q(verdict__decision="regression"),
        feature=canary.feature,
        provider=canary.provider,
        prompt_hash=canary.prompt_hash,
        created_at__gt=canary.evidence.created_at,
        passed=False,
    )
    return "A later evaluation of the candidate did not pass." if worse_since.exists() else ""


def _too_long(canary: Canary, now: datetime) -> str:
    if now - canary.created_at < timedelta(days=policy.MOST_DAYS):
        return ""
    return f"It ran for {policy.MOST_DAYS} days. Activate the candidate, or start another canary."


def missing(canary: Canary, found: Figures, now: datetime) -> list[str]:
    """Return what a promotion lacks, a sentence each."""
    age_s = (now - canary.created_at).total_seconds()
    return policy.missing(found, age_s=age_s, watched_s=canary.watched_s)


def worse(found: Figures) -> str:
    """Return the sentences about the metrics that are above their thresholds."""
    return " ".join(
        f"{each.metric.replace('_', ' ').capitalize()}: {each.candidate.harmed} of"
        f" {each.candidate.users} users of the candidate and {each.live.harmed} of"
        f" {each.live.users} live users."
        for each in found.alarms
    )


def _store(canary: Canary, found: Figures, now: datetime) -> None:
    gap_s = (now - (canary.checked_at or canary.created_at)).total_seconds()
    if 0 < gap_s <= LONGEST_GAP_S:
        canary.watched_s += gap_s
    canary.checked_at, canary.figures = now, canary_figures.as_json(found)
    canary.save(update_fields=["checked_at", "figures", "watched_s"])


def _promote(canary: Canary, found: Figures, name: str) -> str:
    low, high = (100 * end for end in found.harm)
    reason = (
        f"{found.users} users of the candidate were compared, and its harm in errors is between"
        f" {low:+.1f} and {high:+.1f} points."
    )
    try:
        canary_states.promote(canary, found, reason=reason, check_name=CHECK)
    except RefusedError as refusal:
        canary_states.hold(canary, found, reason=str(refusal), check_name=CHECK)
        return f"{name} is held: {refusal}"
    return f"{name} was promoted. {reason}"
