"""Start and stop of shadows. Each change writes a row of the audit log."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from aifeature import prompts, registry
from aifeature.models import ControlChange, Shadow, Stage
from aifeature.models.functions import rows
from aifeature.money import cents, to_micro
from aifeature.services import controls
from aifeature.spec import Feature

FIELD: Final = "shadow"
"""`ControlChange.field` of a shadow."""

MOST_DAYS: Final = 30
MOST_BUDGET_USD: Final = Decimal(1_000)

STOPPED: Final = "The shadow of this answer has ended, so this job was cancelled."
"""The message of its open jobs. No user reads it."""


RUNS: Final = "A shadow of this feature is running. Stop it before you start another one."


class CannotStartError(Exception):
    """The shadow cannot be started. The text names the reason and is shown to the operator."""


def of(slug: str) -> Shadow | None:
    """Return the running shadow of a feature."""
    return Shadow.objects.filter(feature=slug, state=Shadow.State.RUNNING).first()


def candidates(feature: Feature) -> list[str]:
    """Return the versions that a shadow can answer with, newest first."""
    live = controls.live_version(feature)
    usable = (each for each in prompts.versions(feature.slug) if each != live)
    return [each for each in usable if not prompts.incompatibility(feature.slug, each)]


def start(
    *,
    slug: str,
    version: str,
    percent: int,
    daily_budget_usd: Decimal,
    days: int,
    reason: str,
    user_id: int,
) -> Shadow:
    """Let a version answer a share of a feature's requests again.

    Args:
        slug: The feature. It is open, at least to staff.
        version: The candidate, in this code, and not the live one.
        percent: Share of the requests, 1 to 100.
        daily_budget_usd: Most spend of a UTC day, with the judge's. The database enforces it.
        days: Until it ends by itself, 1 to MOST_DAYS.
        reason: For the audit log.
        user_id: The person who starts it.

    Raises:
        CannotStartError: The text names the reason.
    """
    live, prompt = check(
        slug=slug,
        version=version,
        percent=percent,
        daily_budget_usd=daily_budget_usd,
        days=days,
        reason=reason,
    )
    shadow = Shadow(
        feature=slug,
        provider=controls.live.provider(),
        version=version,
        prompt_hash=prompt.hash,
        live_version=live,
        percent=percent,
        daily_budget_usd=daily_budget_usd,
        reason=reason,
        created_by_id=user_id,
        ends_at=Now() + timedelta(days=days),
    )
    try:
        with transaction.atomic():
            shadow.save()
            shadow.refresh_from_db()
            _record(shadow, "", in_words(shadow), reason=reason, user_id=user_id)
    except IntegrityError:  # another person started one at the same time
        raise CannotStartError(RUNS) from None
    return shadow


def check(
    *, slug: str, version: str, percent: int, daily_budget_usd: Decimal, days: int, reason: str
) -> tuple[str, prompts.Prompt]:
    """Return the live version and the candidate's prompt, if `start` would take these values.

    Raises:
        CannotStartError: The text names the reason.
    """
    live = _live(slug)
    prompt = _prompt(slug, version, live)
    _check_bounds(percent, daily_budget_usd, days, reason)
    if of(slug) is not None:
        raise CannotStartError(RUNS)
    return live, prompt


def stop(slug: str, *, reason: str, user_id: int, pk: int | None = None) -> bool:
    """End the feature's running shadow, and cancel its open jobs. Return False if none runs.

    `pk` is the shadow that the operator saw. Without it, the running one is ended.

    Raises:
        ValueError: The reason is empty.
    """
    if not reason.strip():
        raise ValueError("to stop a shadow, enter a reason")
    return _end(slug, reason, pk=pk, user_id=user_id)


def end_by_itself(shadow: Shadow, why: str) -> None:
    """End a shadow whose time is over, or whose comparison has lost its meaning."""
    _end(shadow.feature, why, check_name="shadows.drive", pk=shadow.pk)


def in_words(shadow: Shadow) -> str:
    """Describe the shadow for the audit log."""
    cap = cents(to_micro(shadow.daily_budget_usd) or 0)
    return (
        f"{shadow.version} against {shadow.live_version}, {shadow.percent} % of the requests,"
        f" {cap} a day, until {shadow.ends_at:%Y-%m-%d %H:%M} UTC"
    )


def _live(slug: str) -> str:
    feature = registry.find(slug)
    if feature is None or feature.internal:
        raise CannotStartError(f"There is no feature {slug}.")
    live = controls.live_version(feature)
    if controls.stage(feature) is Stage.OFF or live is None:
        raise CannotStartError("The feature is not open, so there are no requests to answer again.")
    return live


def _prompt(slug: str, version: str, live: str) -> prompts.Prompt:
    if version == live:
        raise CannotStartError(f"{version} is the live version: choose another one.")
    if version not in prompts.versions(slug):
        raise CannotStartError(f"This code has no version {version} of {slug}.")
    if problem := prompts.incompatibility(slug, version):
        raise CannotStartError(f"{version} cannot be used: {problem}")
    return prompts.get(slug, version)


def _check_bounds(percent: int, usd: Decimal, days: int, reason: str) -> None:
    if not 1 <= percent <= 100:  # noqa: PLR2004 (a share)
        raise CannotStartError("The share is 1 to 100 percent.")
    if not (usd.is_finite() and Decimal("0.01") <= usd <= MOST_BUDGET_USD):
        raise CannotStartError(f"The budget of a day is $0.01 to ${MOST_BUDGET_USD:,}.")
    if not 1 <= days <= MOST_DAYS:
        raise CannotStartError(f"A shadow runs for 1 to {MOST_DAYS} days.")
    if not reason.strip():
        raise CannotStartError("A shadow needs a reason.")


def _end(slug: str, why: str, *, pk: int | None = None, **author: Any) -> bool:
    with transaction.atomic():
        found = Shadow.objects.select_for_update(no_key=True).filter(
            feature=slug, state=Shadow.State.RUNNING, **({"pk": pk} if pk else {})
        )
        shadow = found.first()
        if shadow is None:
            return False
        ended = {"state": Shadow.State.ENDED, "ended_at": Now(), "end_reason": why}
        Shadow.objects.filter(pk=shadow.pk).update(**ended)
        _record(shadow, in_words(shadow), "none", reason=why, **author)
    # No call begins after the commit above; this ends the jobs that wait, and the calls under way.
    rows("aif_cancel_shadow", shadow.pk, STOPPED)
    return True


def _record(shadow: Shadow, old: str, new: str, **values: Any) -> None:
    ControlChange.objects.create(feature=shadow.feature, field=FIELD, old=old, new=new, **values)
