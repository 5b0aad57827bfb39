"""Live prompts: activate one, roll back, override the gate. The database decides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet

from aifeature import prompts, registry
from aifeature.models import Activation, ControlChange, Evidence, FeatureControl
from aifeature.models.functions import database_now
from aifeature.services import controls
from aifeature.services.alerting import alerts
from aifeature.services.controls import live
from aifeature.services.controls.live import ACTIVATING, LivePrompt
from aifeature.services.promotion import evidence, subjects
from aifeature.services.promotion.refusals import OutOfDateError, RefusedError, noted
from aifeature.spec import Feature
from aifeature.suites import SuiteError

Kind = Activation.Kind

ROUNDING: Final = 1e-9
"""Least difference of two rates."""

OVERRIDE: Final = "prompt_override"
"""Kind of the alert while a prompt without evidence is live."""


def activate(
    slug: str,
    version: str,
    *,
    reason: str,
    user_id: int | None = None,
    check_name: str = "",
    seen: int | None = None,
) -> Activation:
    """Make a version live, by its evidence under today's conditions.

    Args:
        slug: The feature.
        version: A version of its prompt in this code.
        reason: For the audit log.
        user_id: The operator; callers check the permission `activate_prompt`.
        check_name: The check or command that does it, if no operator does.
        seen: Id of the activation that was live when the operator decided, 0 for none. None if no
            operator does.

    Raises:
        RefusedError: there is no such version, or its evidence does not permit it, or another
            activation became live since.
    """
    feature = _feature(slug)
    prompt = _prompt(feature, version)
    with _attempt(slug, version, reason, user_id), _locked(slug) as control:
        _refuse_if_changed(slug, seen)
        row = _row(feature, prompt, Kind.ACTIVATED, reason, user_id, check_name)
        row.evidence = evidence_of(feature, version)
        return _begin(control, row)


def roll_back(
    slug: str,
    *,
    reason: str,
    user_id: int | None = None,
    check_name: str = "",
    figures: dict[str, Any] | None = None,
    seen: int | None = None,
) -> Activation:
    """Make the newest earlier version with evidence live, however old its evidence is.

    The arguments are those of `activate`. `figures` are a check's measurements.

    Raises:
        RefusedError: there is none, or another activation became live since.
    """
    feature = _feature(slug)
    with _attempt(slug, "roll-back", reason, user_id), _locked(slug) as control:
        _refuse_if_changed(slug, seen)
        found = _before(feature)
        if found is None:
            raise RefusedError(
                f"No earlier version of {slug} in this release has evidence. Pull the kill switch,"
                " or deploy a release with such a version."
            )
        prompt, proof = found
        row = _row(feature, prompt, Kind.ROLLED_BACK, reason, user_id, check_name)
        row.evidence = proof
        return _begin(control, row, figures)


def rollback_target(feature: Feature) -> str | None:
    """Return the version to which `roll_back` would go; None if there is none."""
    found = _before(feature)
    return found[0].version if found else None


def request_override(
    slug: str, version: str, *, hours: int, reason: str, user_id: int
) -> Activation:
    """Request that a version without evidence becomes live for some hours.

    A second person approves it within a day.

    Raises:
        RefusedError: there is no such version, no reason, or not 1 to 168 hours.
    """
    feature = _feature(slug)
    row = _row(feature, _prompt(feature, version), Kind.REQUESTED, reason, user_id, "")
    row.hours = hours
    _insert(row)
    return row


def approve_override(request_id: int, *, reason: str, user_id: int) -> Activation:
    """Make the version of a request live until it expires. Then the last good version is back.

    Raises:
        RefusedError: the same person requested it, it is too old or over, or the code has changed.
    """
    request = Activation.objects.filter(pk=request_id, kind=Kind.REQUESTED).first()
    if request is None:
        raise RefusedError(f"There is no request {request_id}.")
    feature = _feature(request.feature)
    prompt = _prompt(feature, request.version)
    if prompt.hash != request.prompt_hash:
        raise RefusedError(
            f"This release has another text of {request.feature} {request.version} than the one"
            " that was requested: request it again."
        )
    what = f"override with {request.version}"
    with _attempt(feature.slug, what, reason, user_id), _locked(request.feature) as control:
        row = _row(feature, prompt, Kind.OVERRIDDEN, reason, user_id, "")
        row.request = request
        row.expires_at = database_now() + timedelta(hours=request.hours or 0)
        begun = _begin(control, row)
        end = "Evaluate it, or end the override: admin, Features, Prompts and evidence."
        alerts.end(OVERRIDE, request.feature)  # that of an override before
        alerts.begin(OVERRIDE, request.feature, f"{in_words(begun)} {end}")
        return begun


def end_override(slug: str, *, reason: str, user_id: int, seen: int | None = None) -> None:
    """End the override that is live, or withdraw a request. The last good version is back.

    Raises:
        RefusedError: there is neither, or it is not the one whose id is `seen`.
    """
    with _locked(slug) as control:
        found = open_override(slug) or open_request(slug)
        if found is None or seen not in {None, found.pk}:
            raise RefusedError(f"{slug} has no such override: it is over already.")
        row = _row(_feature(slug), LivePrompt(found.version, found.prompt_hash), Kind.ENDED)
        row.reason, row.user_id, row.request = reason, user_id, found
        _insert(row)
        alerts.end(OVERRIDE, slug)
        follow(control, reason=reason, user_id=user_id)


def in_words(override: Activation) -> str:
    """Return the sentence about an override that is live."""
    reason = override.request.reason if override.request else override.reason
    return (
        f"{override.feature} {override.version} is live without evidence until"
        f" {override.expires_at:%Y-%m-%d %H:%M} UTC: {reason.rstrip('. ')}."
    )


def hours_of(request: Activation) -> str:
    """Return how long a requested override lasts, such as `1 hour`."""
    return "1 hour" if request.hours == 1 else f"{request.hours} hours"


def open_override(slug: str) -> Activation | None:
    """Return the override that is live, if any."""
    row = live_row(slug)
    return row if row is not None and row.kind == Kind.OVERRIDDEN else None


def open_request(slug: str) -> Activation | None:
    """Return the newest request of an override that a second person may still approve."""
    since = database_now() - timedelta(hours=24)
    rows = _unanswered().filter(feature=slug, kind=Kind.REQUESTED, at__gt=since)
    return rows.select_related("user").first()


def live_row(slug: str) -> Activation | None:
    """Return the activation that is live with this provider."""
    return live_rows([slug]).get(slug)


def live_rows(slugs: Iterable[str]) -> dict[str, Activation]:
    """Return by feature the activation that is live with this provider, in one query."""
    query = "SELECT live.* FROM unnest(%s::text[]) AS slug, aif_live_prompt(slug, %s) AS live"
    found = Activation.objects.raw(query, [list(slugs), live.provider()])
    return {row.feature: row for row in found}


def proven_row(slug: str) -> Activation | None:
    """Return the newest activation with evidence: live now, or again after an override."""
    query = "SELECT * FROM aif_proven_prompt(%s, %s)"
    found = list(Activation.objects.raw(query, [slug, live.provider()]))
    return found[0] if found else None


def row_of_prompt(slug: str, prompt_hash: str) -> Activation | None:
    """Return the newest activation of a prompt with this provider; None if there is none."""
    rows = Activation.objects.filter(feature=slug, provider=live.provider(), kind__in=ACTIVATING)
    return rows.filter(prompt_hash=prompt_hash).select_related("evidence").first()


@contextmanager
def held(slug: str) -> Iterator[LivePrompt | None]:
    """Hold what is live of a feature: nothing else is activated meanwhile. Yield its prompt.

    That is the prompt which users of this code get; None if they get none. Of an internal feature
    it is the one that is used.
    """
    feature = registry.get(slug)
    with _locked(slug):
        controls.clear_cache()
        version = controls.live_version(feature)
        yield _prompt(feature, version) if version else None


def settle(feature: Feature) -> Activation | None:
    """Open again what a deploy has closed: activate the changed live prompt if it has evidence.

    Before the first activation of a feature that is open, the same holds for its active version.
    """
    control = FeatureControl.objects.filter(feature=feature.slug).first()
    if control is None or feature.internal or feature.suite is None:
        return None
    if open_override(feature.slug):
        return None
    current = proven_row(feature.slug)
    if current is None and control.known_stage in controls.opening.STAFF_ONLY:
        return None
    version = current.version if current else control.prompt_version or feature.prompt_version
    kind = Kind.DEPLOYED if current else Kind.ACTIVATED
    try:
        prompt = _prompt(feature, version)
        controls.clear_cache()
        if prompt in controls.live_prompts(feature):
            return None  # another release beside this one changed it
        with _locked(feature.slug) as locked:
            row = _row(feature, prompt, kind, "A release changed it, and it has evidence.")
            row.check_name, row.evidence = "settle", evidence_of(feature, version)
            return _begin(locked, row)
    except RefusedError:
        return None


def follow(control: FeatureControl, *, reason: str, **by: Any) -> bool:
    """Show in the control what is live. Return whether it changed."""
    current = live_row(control.feature)
    if current is None or current.version == control.prompt_version:
        return False
    before = control.prompt_version
    control.prompt_version = current.version
    control.save(update_fields=["prompt_version", "updated_at"])
    ControlChange.objects.create(
        feature=control.feature,
        field="prompt_version",
        old=before,
        new=current.version,
        reason=reason,
        **by,
    )
    transaction.on_commit(controls.clear_cache)
    return True


def _refuse_if_changed(slug: str, seen: int | None) -> None:
    current = live_row(slug)
    if seen is None or seen == (current.pk if current else 0):
        return
    now = f"{current.version} is live, by {by(current)}" if current else "no version is live"
    raise OutOfDateError(
        f"The live version of {slug} changed since you opened it: now {now}. Nothing was changed."
    )


def by(row: Activation) -> str:
    """Return the name of the user, check or command that made a row."""
    return row.user.get_username() if row.user else row.check_name or "-"


def _feature(slug: str) -> Feature:
    try:
        feature = registry.get(slug)
    except registry.UnknownFeatureError:
        raise RefusedError(f"There is no feature {slug}.") from None
    if feature.internal:
        raise RefusedError(f"{slug} is internal: it has no users, so nothing is activated.")
    return feature


def _prompt(feature: Feature, version: str) -> LivePrompt:
    try:
        return LivePrompt(version, prompts.get(feature.slug, version).hash)
    except prompts.PromptError as error:
        raise RefusedError(f"{error}.") from None


def evidence_of(feature: Feature, version: str) -> Evidence:
    """Return the evidence of a version under today's conditions, passed or not.

    Raises RefusedError if there is none.
    """
    slug = feature.slug
    if feature.suite is None:
        raise RefusedError(
            f"{slug} has no suite, so it can have no evidence: add one, see CONTRIBUTING."
        )
    try:
        subject = subjects.of(feature, version)
    except prompts.PromptError as error:
        raise RefusedError(f"{error}.") from None
    except SuiteError as error:
        raise RefusedError(f"The suite of {slug} cannot be read: {error}") from None
    if found := evidence.newest(subject):
        _refuse_below_floor(feature, found)
        return found
    provider = subject.conditions.provider
    other = evidence.newest_of_prompt(slug, provider, subject.prompt_hash).first()
    why = f" The newest is of {changed(other, subject)}." if other else ""
    raise RefusedError(
        f"{slug} {version} has no evidence with {provider}.{why}"
        f" Evaluate it: {command(slug, version)}"
    )


def _refuse_below_floor(feature: Feature, found: Evidence) -> None:
    """Refuse evidence below the floor in force, which may be higher than at its run."""
    floor = controls.floors.known(feature, found.provider.partition(" ")[0]).least
    rate = found.verdict.get("floor_rate")
    if found.passed and rate is not None and rate < floor - ROUNDING:
        raise RefusedError(
            f"{feature.slug} {found.version} passes {rate:.1%} of its cases, and the floor in force"
            f" is {floor:.1%}. Improve the prompt."
        )


def end_expired(slug: str) -> None:
    """Write the end of an override that has expired: a clock that goes back does not renew it."""
    rows = Activation.objects.filter(feature=slug, provider=live.provider(), kind__in=ACTIVATING)
    newest = rows.first()
    if newest is None or newest.expires_at is None or newest.expires_at > database_now():
        return
    if newest.answers.exists():
        return
    row = _row(_feature(slug), LivePrompt(newest.version, newest.prompt_hash), Kind.ENDED)
    row.reason, row.check_name, row.request = "It has expired.", "control.controls", newest
    with suppress(RefusedError):  # a person has just ended it
        _insert(row)


def command(slug: str, version: str) -> str:
    """Return the command that makes evidence of a version."""
    return f"python -m evals run {slug} --prompt {version}"


def changed(found: Evidence, subject: subjects.Subject) -> str:
    """Return what differs between the conditions of evidence and those of today."""
    now = subjects.as_json(subject.conditions)
    names = [name for name, value in now.items() if found.conditions.get(name) != value]
    return f"another {' and another '.join(names)}" if names else "the same conditions"


def _before(feature: Feature) -> tuple[LivePrompt, Evidence] | None:
    """Return the newest version before the live one that has evidence, with it.

    A version that was itself rolled back counts only if there is no other. During an override it is
    the version that was live before.
    """
    current, proven = live_row(feature.slug), proven_row(feature.slug)
    if current is None:
        return None
    found = []
    if current.kind == Kind.OVERRIDDEN and proven is not None:
        prompt = LivePrompt(proven.version, proven.prompt_hash)
        proof = _for_roll_back(feature.slug, prompt)
        if proof is not None and live.has(feature, prompt):
            return prompt, proof
    for version in reversed(prompts.versions(feature.slug)):
        if int(version[1:]) >= int(current.version[1:]):
            continue
        try:
            prompt = _prompt(feature, version)
        except RefusedError:  # its file cannot be read
            continue
        if proof := _for_roll_back(feature.slug, prompt):
            found.append((prompt, proof))
    kept = [each for each in found if not _was_rolled_back(feature.slug, each[0].hash)]
    return next(iter(kept or found), None)


def _for_roll_back(slug: str, prompt: LivePrompt) -> Evidence | None:
    """Return the evidence with which a roll-back to a prompt is permitted, if any.

    Any of a prompt that was live. Of another one the newest decides, if it passed.
    """
    provider = live.provider()
    rows = evidence.newest_of_prompt(slug, provider, prompt.hash)
    was_live = Activation.objects.filter(
        feature=slug,
        provider=provider,
        prompt_hash=prompt.hash,
        kind__in=(Kind.ACTIVATED, Kind.DEPLOYED),
    )
    if was_live.exists():
        return rows.filter(passed=True).first()
    newest = rows.first()
    return newest if newest is not None and newest.passed else None


def _was_rolled_back(slug: str, prompt_hash: str) -> bool:
    own = Activation.objects.filter(feature=slug, provider=live.provider())
    newest = own.filter(kind__in=ACTIVATING, prompt_hash=prompt_hash).first()
    later = own.filter(kind=Kind.ROLLED_BACK, replaces_hash=prompt_hash)
    return later.filter(pk__gt=newest.pk).exists() if newest else False


def _unanswered() -> QuerySet[Activation]:
    return Activation.objects.filter(
        ~Exists(Activation.objects.filter(request=OuterRef("pk"))), provider=live.provider()
    )


def _row(
    feature: Feature,
    prompt: LivePrompt,
    kind: Activation.Kind,
    reason: str = "",
    user_id: int | None = None,
    check_name: str = "",
) -> Activation:
    return Activation(
        feature=feature.slug,
        provider=live.provider(),
        version=prompt.version,
        prompt_hash=prompt.hash,
        kind=kind,
        reason=reason,
        user_id=user_id,
        check_name=check_name,
    )


@contextmanager
def _attempt(slug: str, what: str, reason: str, user_id: int | None) -> Iterator[None]:
    """Note a person's attempt that is refused in the audit log."""
    current = live_row(slug) if user_id is not None else None
    version = current.version if current else ""
    with noted(slug, what, live=version, reason=reason, user_id=user_id):
        yield


@contextmanager
def _locked(slug: str) -> Iterator[FeatureControl]:
    """Hold the control's row: activations of a feature come one after the other."""
    with transaction.atomic():
        FeatureControl.objects.get_or_create(feature=slug)
        yield FeatureControl.objects.select_for_update().get(feature=slug)
    controls.clear_cache()


def _begin(
    control: FeatureControl, row: Activation, figures: dict[str, Any] | None = None
) -> Activation:
    """Insert the row, show its version in the control, and write the audit row."""
    before = live_row(control.feature)
    if not row.reason.strip():
        raise RefusedError("It needs a reason.")
    _insert(row)
    control.prompt_version = row.version
    control.save(update_fields=["prompt_version", "updated_at"])
    if row.kind != Kind.OVERRIDDEN:
        alerts.end(OVERRIDE, control.feature)
    ControlChange.objects.create(
        feature=control.feature,
        field="live_prompt",
        old=f"{before.version} {before.prompt_hash[:8]}" if before else "",
        new=f"{row.version} {row.prompt_hash[:8]}",
        reason=row.reason,
        user_id=row.user_id,
        check_name=row.check_name,
        figures={"kind": row.kind, "evidence": str(row.evidence_id or ""), **(figures or {})},
    )
    transaction.on_commit(controls.clear_cache)
    return row


def _insert(row: Activation) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        _, _, problem = str(error).partition(" is refused. ")
        if not problem:
            raise
        why = problem.splitlines()[0]
        raise RefusedError(f"{row.feature} {row.version} does not become live. {why}") from None
