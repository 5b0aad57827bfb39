"""Each version of a feature's prompt: whether it is live, its evidence, what it lacks."""

from __future__ import annotations

from dataclasses import dataclass

from aifeature import prompts
from aifeature.models import Activation, Evidence
from aifeature.models.functions import rows
from aifeature.services import controls
from aifeature.services.controls import live
from aifeature.services.promotion import activations, evidence
from aifeature.spec import Feature


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a prompt in this code."""

    version: str
    hash: str
    note: str
    is_live: bool
    evidence: Evidence | None
    """The newest, of any conditions and any age, passed or not."""
    problem: str
    """Why it cannot be activated now; empty if it can."""
    command: str
    """What would make evidence of it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is live of a feature, and what could be."""

    feature: Feature
    live: Activation | None
    """With this provider. Its prompt may be missing in this code."""
    is_served: bool
    """Whether users get an answer, if the stage admits them."""
    versions: tuple[Version, ...]
    """Newest first."""
    rollback: str | None
    """The version to which a roll-back goes."""
    override: Activation | None
    request: Activation | None


def of(feature: Feature) -> Standing:
    """Return the standing of a feature now."""
    found = [_version(feature, version) for version in reversed(prompts.versions(feature.slug))]
    return Standing(
        feature=feature,
        live=activations.live_row(feature.slug),
        is_served=controls.live_version(feature) is not None,
        versions=tuple(found),
        rollback=activations.rollback_target(feature),
        override=activations.open_override(feature.slug),
        request=activations.open_request(feature.slug),
    )


def _version(feature: Feature, version: str) -> Version:
    prompt = prompts.get(feature.slug, version)
    proof = evidence.newest_of_prompt(feature.slug, live.provider(), prompt.hash).first()
    return Version(
        version=version,
        hash=prompt.hash,
        note=prompt.note,
        is_live=controls.live_version(feature) == version,
        evidence=proof,
        problem=_problem(feature, version),
        command=activations.command(feature.slug, version),
    )


def _problem(feature: Feature, version: str) -> str:
    """Return why a version cannot be activated now; empty if it can."""
    try:
        proof = activations.evidence_of(feature, version)
    except activations.RefusedError as refused:
        return str(refused)
    row = (Activation.Kind.ACTIVATED.value, feature.slug, live.provider(), version)
    problem: str | None = rows("aif_activation_problem", *row, proof.prompt_hash, proof.pk)[0][0]
    return problem or ""


def history(slug: str, *, most: int = 50) -> list[Activation]:
    """Return the newest rows of what was live when, of all providers."""
    rows = Activation.objects.filter(feature=slug).select_related("user", "evidence", "request")
    return list(rows[:most])
