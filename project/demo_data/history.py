"""Changes by operators and checks: live prompts, a ramp, a canary. Triggers decide as always."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from aifeature import prompts, registry
from aifeature.models import (
    Activation,
    Canary,
    CanaryStep,
    ControlChange,
    Evidence,
    FeatureControl,
    Ramp,
    Stage,
)
from aifeature.services import controls
from aifeature.services.promotion import activations
from project.demo_data import story as plot
from project.demo_data.rows import Request
from project.demo_data.story import ANSWER, SUMMARIZE, TRIAGE, Story

ROLLOUT: Final = "control.rollout"
HOLD: Final = "Thumbs down: amber, 0.2016 (threshold 0.2)."
_EMPTY: Final[dict[str, Any]] = {"cases": {}}
"""Outcomes of synthetic evidence. It compares with nothing."""


class AuditLog:
    """Audit rows, written in the order of time."""

    def __init__(self) -> None:
        self._rows: list[ControlChange] = []

    def add(
        self,
        feature: str,
        field: str,
        old: object,
        new: object,
        at: datetime,
        reason: str,
        *,
        user: Any = None,
        check: str = "",
        figures: dict[str, Any] | None = None,
    ) -> None:
        """Add a row about a change of a field."""
        row = ControlChange(
            feature=feature,
            field=field,
            old=str(old),
            new=str(new),
            reason=reason,
            user=user,
            check_name=check,
            figures=figures,
            at=at,
        )
        self._rows.append(row)

    def write(self) -> None:
        """Store the rows."""
        ControlChange.objects.bulk_create(sorted(self._rows, key=lambda row: row.at))


def write(story: Story, operator: Any, log: AuditLog) -> None:
    """Write what became live, and the settings of the features."""
    for slug, version, at, reason in _activated(story):
        _activate(slug, version, at, reason, operator, log)
    for slug in plot.SLUGS:
        values = {"stage": Stage.EVERYONE, "percent": 0}
        if slug == TRIAGE:
            values = {"stage": Stage.PERCENT, "percent": plot.THIRD_SHARE}
        _open(slug, values, story.first_activations, operator, log)
    _refused(story)
    _ramp(story, operator, log)
    controls.clear_cache()


def _activated(story: Story) -> Sequence[tuple[str, str, datetime, str]]:
    first = "The first version for users."
    return (
        (ANSWER, "v1", story.first_activations, first),
        (TRIAGE, "v1", story.first_activations, first),
        (SUMMARIZE, "v2", story.first_activations, first),
        (SUMMARIZE, "v3", story.summarize_changed, "It passes twice as many cases."),
        (ANSWER, "v2", story.answer_changed, "Shorter answers. Its evaluation passed."),
    )


def _activate(
    slug: str, version: str, at: datetime, reason: str, operator: Any, log: AuditLog
) -> None:
    """Activate a version. A later one that is live already, as after `make stack`, goes back."""
    current = activations.live_row(slug)
    is_back = current is not None and int(current.version[1:]) > int(version[1:])
    if current is not None and current.version == version:
        return
    proof = activations.evidence_of(registry.get(slug), version)
    Activation.objects.create(
        feature=slug,
        provider=proof.provider,
        version=version,
        prompt_hash=proof.prompt_hash,
        kind=Activation.Kind.ROLLED_BACK if is_back else Activation.Kind.ACTIVATED,
        evidence=proof,
        user=operator,
        reason=reason,
        at=at,
    )
    before = current.version if current else ""
    log.add(slug, "prompt_version", before, version, at, reason, user=operator)
    FeatureControl.objects.update_or_create(feature=slug, defaults={"prompt_version": version})


def _open(slug: str, values: dict[str, Any], at: datetime, operator: Any, log: AuditLog) -> None:
    FeatureControl.objects.filter(feature=slug).update(**values)
    reason = "Opened after two weeks with staff."
    log.add(slug, "stage", "staff", str(values["stage"]), at, reason, user=operator)


def _refused(story: Story) -> None:
    """Store that the newest version of `triage` did not pass, so its activation is refused."""
    feature = registry.get(TRIAGE)
    proof = activations.evidence_of(feature, "v2")
    rate, interval = 0.0578, {"low": 0.031, "high": 0.105}
    drop = 100 * (proof.verdict["baseline"]["rate"] - rate)
    verdict = {
        **proof.verdict,
        "candidate": {**proof.verdict["candidate"], "rate": rate, "interval": interval},
        "decision": "regression",
        "failure": True,
        "floor_rate": rate,
        "difference_points": -drop,
        "difference_interval": {"low": -drop - 4.1, "high": -drop + 4.1},
        "p": 0.0021,
        "reasons": [f"It passes {drop:.1f} points fewer cases than v1 (p = 0.0021)."],
    }
    evidence(proof, verdict, at=story.now - timedelta(days=9, hours=4))


def evidence(
    like: Evidence, verdict: dict[str, Any], *, at: datetime, origin: str = Evidence.Origin.COMMAND
) -> Evidence:
    """Store evidence of the same prompt under the same conditions, with another verdict."""
    return Evidence.objects.create(
        feature=like.feature,
        version=like.version,
        provider=like.provider,
        prompt_hash=like.prompt_hash,
        fingerprint=like.fingerprint,
        conditions=like.conditions,
        live_hash=like.live_hash,
        passed=verdict["decision"] == "pass",
        verdict=verdict,
        outcomes={**_EMPTY, "at": at.isoformat(), "answered_by": like.answered_by},
        runs=[],
        answered_by=like.answered_by,
        account=like.account,
        origin=origin,
        measured_at=at,
        fresh_until=None,
    )


def _ramp(story: Story, operator: Any, log: AuditLog) -> None:
    reason = "Open it to all schools step by step."
    ramp = Ramp.objects.create(
        feature=TRIAGE,
        steps=list(plot.RAMP_STEPS),
        hours_per_step=plot.RAMP_HOURS,
        step=1,
        started_from=plot.FIRST_SHARE,
        started_stage=Stage.PERCENT,
        step_started_at=story.ramp_moved,
        healthy_s=(story.ramp_held - story.ramp_moved).total_seconds(),
        checked_at=story.now,
        hold_reason=HOLD,
        held_since=story.ramp_held,
        reason=reason,
        created_by=operator,
        created_at=story.ramp_started,
    )
    first, second, third = plot.FIRST_SHARE, plot.SECOND_SHARE, plot.THIRD_SHARE
    steps = " → ".join(map(str, ramp.steps))
    started = f"{steps} %, {plot.RAMP_HOURS} healthy hours for each step"
    log.add(TRIAGE, "ramp", "", started, story.ramp_started, reason, user=operator)
    log.add(TRIAGE, "percent", first, second, story.ramp_started, reason, user=operator)
    moved = f"A ramp moved on after {plot.RAMP_HOURS} healthy hours."
    log.add(TRIAGE, "percent", second, third, story.ramp_moved, moved, check=ROLLOUT)
    held = f"held at {third} %"
    figures = {"thumbs_down": {"level": "amber", "value": 0.2016, "threshold": 0.2}}
    log.add(
        *(TRIAGE, "ramp", "goes on", held, story.ramp_held, HOLD),
        check=ROLLOUT,
        figures=figures,
    )


def canary(story: Story, operator: Any, log: AuditLog) -> CanaryStep:
    """Start the canary of `summarize` in the past, and return its step."""
    feature = registry.get(SUMMARIZE)
    live, proof = activations.live_row(SUMMARIZE), activations.evidence_of(feature, "v4")
    assert live is not None  # noqa: S101 (`write` activated it)
    reason = "A shorter prompt with the same pass rate. Do users notice?"
    age_s = (story.now - story.canary_started).total_seconds()
    row = Canary.objects.create(
        feature=SUMMARIZE,
        provider=proof.provider,
        version="v4",
        prompt_hash=proof.prompt_hash,
        live_version=live.version,
        live_hash=live.prompt_hash,
        evidence=proof,
        latency_limit_ms=10_000,
        watched_s=age_s - 120,
        checked_at=story.now,
        reason=reason,
        created_by=operator,
        created_at=story.canary_started,
    )
    percent = plot.CANARY_PERCENT
    step = CanaryStep.objects.create(canary=row, percent=percent, started_at=story.canary_started)
    text = f"v4: running at {percent} % against {live.version}"
    log.add(
        *(SUMMARIZE, "canary", "", text, story.canary_started, reason),
        user=operator,
        figures={"canary": row.pk},
    )
    return step


def recorded(slug: str, version: str) -> Evidence:
    """Return the newest recorded evidence of a version."""
    hash_ = prompts.get(slug, version).hash
    rows = Evidence.objects.filter(feature=slug, prompt_hash=hash_)
    return rows.filter(origin=Evidence.Origin.RECORDED).defer("outcomes").latest("created_at")


def set_cost_limit(row: Canary, requests: Iterable[Request]) -> None:
    """Let an answer count as dear that costs more than nine of ten of the live version."""
    live = (row.feature, row.live_version)
    costs = sorted(
        sum(call.cost_micro for call in each.calls)
        for each in requests
        if (each.feature, each.version) == live and each.accepted
    )
    if costs:
        row.cost_limit_micro = costs[int(0.9 * (len(costs) - 1))]
        row.save(update_fields=["cost_limit_micro"])
