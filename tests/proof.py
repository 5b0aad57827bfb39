"""Prompts with evidence, for tests that need an open feature and not its evaluation."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from aifeature import prompts, registry
from aifeature.models import Activation, Evidence, FeatureControl, Stage
from aifeature.services import controls
from aifeature.services.promotion import activations, subjects

MEASURED_AT = datetime(2026, 11, 2, 3, tzinfo=UTC)


def evidence(slug: str, version: str = "", **values: Any) -> Evidence:
    """Store passing evidence of a version, by default the code's, and return it."""
    version = version or registry.get(slug).prompt_version
    prompt_hash = values.get("prompt_hash") or prompts.get(slug, version).hash
    current = activations.proven_row(slug)
    row: dict[str, Any] = {
        "feature": slug,
        "version": version,
        "provider": controls.live.provider(),
        "prompt_hash": prompt_hash,
        "fingerprint": prompt_hash,
        "conditions": {},
        "live_hash": current.prompt_hash if current else "",
        "passed": True,
        "verdict": {"decision": "pass"},
        "outcomes": {},
        "runs": [],
        "answered_by": [],
        "measured_at": MEASURED_AT,
        "fresh_until": None,
    }
    return Evidence.objects.create(**{**row, **values})


def of_today(slug: str, version: str = "") -> dict[str, Any]:
    """Return the values of evidence that an evaluation under the conditions of today has."""
    feature = registry.get(slug)
    subject = subjects.of(feature, version or feature.prompt_version)
    return {
        "fingerprint": subject.fingerprint,
        "conditions": subjects.as_json(subject.conditions),
    }


def activate(slug: str, version: str = "", **values: Any) -> Activation:
    """Make a version live, with evidence of its own, and return the activation."""
    proof = evidence(slug, version, **values)
    row = Activation.objects.create(
        feature=slug,
        provider=proof.provider,
        version=proof.version,
        prompt_hash=proof.prompt_hash,
        kind=Activation.Kind.ACTIVATED,
        evidence=proof,
        check_name="test",
        reason="test",
    )
    FeatureControl.objects.update_or_create(
        feature=slug, defaults={"prompt_version": proof.version}
    )
    controls.clear_cache()
    return row


def activated_elsewhere(slug: str, version: str) -> Activation:
    """Store an activation that another release made, of a prompt that this code lacks."""
    return activate(slug, version, prompt_hash=hashlib.sha256(version.encode()).hexdigest())


def open_to_users(slug: str, **values: Any) -> None:
    """Make the code's version live and open the feature to all users."""
    if registry.get(slug).internal:
        return
    activate(slug)
    if not Evidence.objects.filter(feature=subjects.MODERATION).exists():
        evidence(subjects.MODERATION)  # it reads answers of open features
    changed = {"stage": Stage.EVERYONE, **values}
    controls.change(slug, changed, reason="test", check_name="test")
