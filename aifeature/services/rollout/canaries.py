"""Canaries: a candidate for a share of users. A person starts one, and the check ends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from aifeature import prompts, registry
from aifeature.models import Canary, CanaryStep, ControlChange, Evidence, FeatureControl
from aifeature.models.canary import OPEN
from aifeature.models.functions import database_now, rows
from aifeature.services import controls
from aifeature.services.alerting import alerts
from aifeature.services.controls.live import LivePrompt
from aifeature.services.promotion import RefusedError, activations
from aifeature.services.rollout import canary_check, canary_rows, canary_states
from aifeature.services.rollout.canary_check import check
from aifeature.services.rollout.canary_states import CanaryRefusedError, State
from aifeature.spec import Feature

__all__ = [
    "CanaryRefusedError",
    "check",
    "decisions",
    "go_on",
    "hold",
    "of_feature",
    "open_of",
    "promote",
    "share",
    "start",
    "stop",
]

LATENCY_LIMIT_MS: Final = 10_000
"""An answer that takes longer counts as slow, unless the start sets another limit."""

PERCENTS: Final = range(1, 51)
"""The shares of a candidate: with more than half, most users would be the experiment."""

ENDED_SHOWN: Final = 20


def start(
    slug: str,
    version: str,
    *,
    percent: int,
    reason: str,
    user_id: int,
    promotes: bool = True,
    latency_limit_ms: int = LATENCY_LIMIT_MS,
) -> Canary:
    """Give a candidate to a share of users, and compare it with the live version.

    Args:
        slug: The feature.
        version: A version of its prompt in this code, with evidence as for an activation.
        percent: Share of users, 1 to 50.
        reason: For the audit log.
        user_id: The person; callers check the permission `activate_prompt`.
        promotes: Whether it goes live by itself when its figures permit it.
        latency_limit_ms: A slower answer counts as slow.

    Raises:
        CanaryRefusedError: the text names the cause.
    """
    feature = _feature(slug)
    _check_percent(percent)
    _check_reason(reason)
    with _refusals(), activations.held(slug) as live:
        prompt = _candidate(feature, version, live)
        proof = _evidence(feature, prompt)
        if live is None:
            raise CanaryRefusedError(f"No version of {slug} is live, so there is none to compare.")
        canary = Canary.objects.create(
            feature=slug,
            provider=controls.live.provider(),
            version=prompt.version,
            prompt_hash=prompt.hash,
            live_version=live.version,
            live_hash=live.hash,
            evidence=proof,
            promotes=promotes,
            latency_limit_ms=latency_limit_ms,
            cost_limit_micro=canary_rows.cost_limit_micro(slug, live.version),
            reason=reason,
            created_by_id=user_id,
        )
        CanaryStep.objects.create(canary=canary, percent=percent)
        alerts.end(canary_states.ROLLED_BACK, slug)
        text = f"running at {percent} % against {live.version}"
        canary_states.record(canary, text, reason=reason, user_id=user_id)
    controls.clear_cache()
    canary.refresh_from_db()
    return canary


def share(pk: int, percent: int, *, reason: str, user_id: int) -> None:
    """Change the share of an open canary. Raises CanaryRefusedError."""
    _check_percent(percent)
    with _locked(pk, reason) as canary:
        before = share_of(canary)
        if percent == before:
            raise CanaryRefusedError(f"Its share is {percent} % already.")
        CanaryStep.objects.create(canary=canary, percent=percent)
        canary_states.record(
            canary, f"{percent} %", old=f"{before} %", reason=reason, user_id=user_id
        )


def hold(pk: int, *, reason: str, user_id: int) -> None:
    """Keep a running canary at its share: it is not promoted. Raises CanaryRefusedError."""
    with _locked(pk, reason) as canary:
        if canary.state == State.HELD:
            raise CanaryRefusedError(f"It is held already: {canary.hold_reason}")
        canary_states.hold(canary, None, reason=reason, user_id=user_id)


def go_on(pk: int, *, reason: str, user_id: int) -> None:
    """Continue a held canary. Raises CanaryRefusedError, also while its arms are split wrongly."""
    with _locked(pk, reason) as canary:
        if canary.state != State.HELD:
            raise CanaryRefusedError("It is not held.")
        if canary_rows.read(canary).is_split_wrong:
            raise CanaryRefusedError(
                "The numbers of users in its arms do not fit the share. Find the cause, stop it,"
                " and start another one."
            )
        canary_states.resume(canary, reason=reason, user_id=user_id)


def stop(pk: int, *, reason: str, user_id: int) -> None:
    """End a canary without a decision. Raises CanaryRefusedError."""
    with _locked(pk, reason) as canary:
        canary_states.end(canary, State.STOPPED, None, reason=reason, user_id=user_id)


def promote(
    pk: int, *, reason: str, user_id: int, now: Callable[[], datetime] = database_now
) -> None:
    """Make the candidate live if its figures permit it. Raises CanaryRefusedError otherwise."""
    with _refusals(), _locked(pk, reason) as canary:
        if canary_check.is_switched_off(canary.feature):
            raise CanaryRefusedError("A kill switch is pulled: nothing is decided meanwhile.")
        if cause := canary_check.gone(canary):
            raise CanaryRefusedError(f"{cause} Stop it.")
        found = canary_rows.read(canary)
        if lacks := canary_check.missing(canary, found, now()):
            how = "To make it live all the same, activate it: Prompts and evidence."
            raise CanaryRefusedError(" ".join(["Its figures do not permit it.", *lacks, how]))
        canary_states.promote(canary, found, reason=reason, user_id=user_id)


def open_of(slug: str) -> Canary | None:
    """Return the open canary of a feature with this provider."""
    return _rows(slug).filter(state__in=OPEN).first()


def of_feature(slug: str) -> list[Canary]:
    """Return the open canary of a feature and the newest ended ones, newest first."""
    return list(_rows(slug)[:ENDED_SHOWN])


def share_of(canary: Canary) -> int:
    """Return the percentage of users who get the candidate, or got it last."""
    newest = canary.steps.order_by("-id").first()
    return newest.percent if newest else 0


def decisions(canary: Canary) -> list[ControlChange]:
    """Return the audit rows of a canary, newest first."""
    found = ControlChange.objects.filter(
        feature=canary.feature, field=canary_states.FIELD, figures__canary=canary.pk
    )
    return list(found.select_related("user")[:50])


def candidates(feature: Feature) -> list[str]:
    """Return the versions with which a canary could start now, newest first."""
    current = controls.live_version(feature)
    found = []
    for version in reversed(prompts.versions(feature.slug)):
        try:
            prompt = LivePrompt(version, prompts.get(feature.slug, version).hash)
            if version != current:
                _evidence(feature, prompt)
                found.append(version)
        except (prompts.PromptError, CanaryRefusedError, RefusedError):
            continue
    return found


def _rows(slug: str) -> QuerySet[Canary]:
    rows_ = Canary.objects.filter(feature=slug, provider=controls.live.provider())
    return rows_.select_related("evidence", "created_by").prefetch_related("steps")


def _feature(slug: str) -> Feature:
    feature = registry.find(slug)
    if feature is None:
        raise CanaryRefusedError(f"There is no feature {slug}.")
    if feature.internal:
        raise CanaryRefusedError(f"{slug} is internal: it has no users.")
    return feature


def _candidate(feature: Feature, version: str, live: LivePrompt | None) -> LivePrompt:
    """Return the candidate's prompt. Call it while what is live is held."""
    slug = feature.slug
    control = FeatureControl.objects.get(feature=slug)
    if control.known_stage in controls.opening.STAFF_ONLY:
        raise CanaryRefusedError(
            f"{slug} is not open to users, so a canary would have none. Open it first."
        )
    if (row := activations.live_row(slug)) is None or live is None:
        raise CanaryRefusedError(f"No version of {slug} is live, so there is none to compare.")
    if row.kind == row.Kind.OVERRIDDEN:
        raise CanaryRefusedError("An override is live, which is no comparison. End it first.")
    if row.prompt_hash != live.hash:
        raise CanaryRefusedError(
            f"This release lacks {row.version}, which is live. Deploy one release everywhere first."
        )
    try:
        prompt = LivePrompt(version, prompts.get(slug, version).hash)
    except prompts.PromptError as error:
        raise CanaryRefusedError(f"{error}.") from None
    if prompt.hash == live.hash:
        raise CanaryRefusedError(f"{version} is live already: a candidate is another version.")
    if earlier := open_of(slug):
        raise CanaryRefusedError(
            f"A canary of {slug} {earlier.version} is {earlier.state}. Stop it first: there is one"
            " at a time."
        )
    return prompt


def _evidence(feature: Feature, prompt: LivePrompt) -> Evidence:
    """Return the evidence that would permit to activate a prompt now."""
    proof = activations.evidence_of(feature, prompt.version)
    arguments = (feature.slug, controls.live.provider(), prompt.version, prompt.hash, proof.pk)
    if problem := rows("aif_activation_problem", "activated", *arguments)[0][0]:
        command = activations.command(feature.slug, prompt.version)
        raise CanaryRefusedError(f"{problem} Evaluate it: {command}")
    return proof


def _check_percent(percent: int) -> None:
    if percent not in PERCENTS:
        raise CanaryRefusedError(f"The share is from 1 to 50 %, and not {percent}.")


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise CanaryRefusedError("It needs a reason.")


@contextmanager
def _locked(pk: int, reason: str) -> Iterator[Canary]:
    _check_reason(reason)
    with transaction.atomic():
        canary = Canary.objects.select_for_update(of=("self",)).filter(pk=pk).first()
        if canary is None:
            raise CanaryRefusedError(f"There is no canary {pk}.")
        if canary.state not in OPEN:
            raise CanaryRefusedError(f"It is over: {canary.get_state_display().lower()}.")
        yield canary
    controls.clear_cache()


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn refusals of the database and of an activation into ours."""
    try:
        yield
    except RefusedError as refusal:
        raise CanaryRefusedError(str(refusal)) from None
    except IntegrityError as error:
        _, _, problem = str(error).partition(" is refused. ")
        if not problem:
            raise
        raise CanaryRefusedError(problem.splitlines()[0]) from None
