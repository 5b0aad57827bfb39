"""Each version of a feature's prompt: whether it is live, its evidence, what it lacks."""

from __future__ import annotations

from dataclasses import dataclass

from aifeature import prompts
from aifeature.models import Activation, Evidence, FeatureControl, Stage
from aifeature.models.functions import rows
from aifeature.services import controls
from aifeature.services.controls import live
from aifeature.services.promotion import activations, evidence, gate_check
from aifeature.services.promotion.refusals import RefusedError
from aifeature.spec import Feature


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a prompt in this code."""

    version: str
    hash: str
    """Empty if its file cannot be read. Then `problem` is the reason."""
    note: str
    is_live: bool
    evidence: Evidence | None
    """The newest, of any conditions and any age, passed or not."""
    problem: str
    """Why it cannot be activated now, without the command; empty if it can."""
    command: str
    """The command that makes evidence of it; empty if none does."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The live prompt of a feature, and its other versions."""

    feature: Feature
    live: Activation | None
    """With this provider. Its prompt may be missing in this code."""
    served: str
    """A sentence: the users who get an answer, and their version."""
    versions: tuple[Version, ...]
    """Newest first."""
    rollback: str | None
    """The version to which a roll-back goes."""
    override: Activation | None
    after_override: str | None
    """The version for users when the override is over; None: staff only."""
    request: Activation | None


def of(feature: Feature) -> Standing:
    """Return the standing of a feature now."""
    controls.clear_cache()
    found = [_version(feature, version) for version in reversed(prompts.versions(feature.slug))]
    row = activations.live_row(feature.slug)
    override = row if row is not None and row.kind == Activation.Kind.OVERRIDDEN else None
    return Standing(
        feature=feature,
        live=row,
        served=_served(feature),
        versions=tuple(found),
        rollback=activations.rollback_target(feature),
        override=override,
        after_override=_after(feature, override),
        request=activations.open_request(feature.slug),
    )


def _served(feature: Feature) -> str:
    control = FeatureControl.objects.filter(feature=feature.slug).first()
    stage = control.known_stage if control else Stage.OFF
    version, staff = controls.live_version(feature), controls.prompt_version(feature)
    if feature.internal:
        needs = "needs no evidence" if feature.suite is None else "no stage, but needs evidence"
        return f"It has no users and {needs}. {version} is used."
    for_staff = "" if stage is Stage.OFF or staff == version else f" Staff get {staff}."
    if version is None:
        return f"No version is live in this code, so only staff may use it.{for_staff}"
    if stage is Stage.OFF:
        return f"The stage is off, so nobody gets an answer. When it opens, users get {version}."
    if stage is Stage.STAFF:
        return f"The stage is staff only. When it opens, users get {version}.{for_staff}"
    return f"Users get {version}. Stage: {stage.label.lower()}.{for_staff}"


def _version(feature: Feature, version: str) -> Version:
    try:
        prompt = prompts.get(feature.slug, version)
    except prompts.PromptError as error:
        return Version(
            version, "", "", is_live=False, evidence=None, problem=str(error), command=""
        )
    rows = evidence.newest_of_prompt(feature.slug, live.provider(), prompt.hash)
    proof = rows.defer("outcomes").first()  # up to 100 KB that nothing shows
    return Version(
        version=version,
        hash=prompt.hash,
        note=prompt.note,
        is_live=controls.live_version(feature) == version,
        evidence=proof,
        problem=_problem(feature, version),
        command="" if feature.suite is None else activations.command(feature.slug, version),
    )


def _after(feature: Feature, override: Activation | None) -> str | None:
    if override is None:
        return controls.live_version(feature)
    rows = FeatureControl.objects.filter(feature=feature.slug)
    candidates = live.preferred(rows.values_list(live.activations(), flat=True)[0])
    return live.version(feature, (c for c in candidates if c.hash != override.prompt_hash))


def approve(feature: Feature, request_id: int, *, reason: str, user_id: int) -> Activation:
    """Approve a request of this feature. Raises RefusedError if it is of another."""
    if not Activation.objects.filter(pk=request_id, feature=feature.slug).exists():
        raise RefusedError(
            f"{feature.slug} has no such request. A request of another feature is approved on the"
            " page of that feature."
        )
    return activations.approve_override(request_id, reason=reason, user_id=user_id)


def notices(feature: Feature) -> list[str]:
    """Return the notices for staff: an override, or why the feature serves staff only."""
    control = FeatureControl.objects.filter(feature=feature.slug).first()
    override = activations.open_override(feature.slug)
    staff_only = gate_check.why_staff_only(feature.slug, control)
    return [*([activations.in_words(override)] if override else []), *filter(None, [staff_only])]


def _problem(feature: Feature, version: str) -> str:
    """Return why a version cannot be activated now; empty if it can."""
    if feature.internal:
        return f"{feature.slug} is internal: it has no users, so nothing is activated."
    of_version = (feature.slug, version)
    try:
        proof = activations.evidence_of(feature, version)
    except RefusedError as refused:
        return str(refused).removesuffix(f" Evaluate it: {activations.command(*of_version)}")
    row = (Activation.Kind.ACTIVATED.value, feature.slug, live.provider(), version)
    problem: str | None = rows("aif_activation_problem", *row, proof.prompt_hash, proof.pk)[0][0]
    return problem or ""


def history(slug: str, *, most: int = 50) -> list[Activation]:
    """Return the newest rows of what was live when, of all providers."""
    rows = Activation.objects.filter(feature=slug).select_related("user", "evidence", "request")
    return list(rows.defer("evidence__outcomes")[:most])
