"""The features of the local stack: load their evidence, open them, name those for staff only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from django.contrib.auth import get_user_model
from django.db import DataError, IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from aifeature import registry, suites
from aifeature.models import EVALUATIONS_ACCOUNT, Evidence
from aifeature.services import controls
from aifeature.services.promotion import (
    RefusedError,
    activations,
    evidence,
    gate_check,
    local_stack,
    standing,
)
from aifeature.spec import Feature
from evals import loading, recorded
from evals.harness import costs, plan
from evals.recorded import Recorded, RecordedError
from project.stack.local_dir import LIVE_EVIDENCE

UNSTORABLE: Final = (*evidence.UNREADABLE, IntegrityError, DataError, ValueError)
"""The errors of a row that the database, or a field of its table, refuses."""

DOMAIN: Final = "@demo.invalid"
"""End of the e-mail address of a demo user."""


def update() -> Iterator[str]:
    """Load the evidence of this checkout, open features, and yield notes for the terminal.

    In a database with real users nothing is opened: operators decide about its features.
    """
    yield from _load()
    if has_demo_users_only():
        local_stack.open_features()
    for feature in registry.offered().values():
        yield from _notes(feature)
    yield from filter(None, [gate_check.unproven_moderation()])


def has_demo_users_only() -> bool:
    users = get_user_model()
    own = Q(email__endswith=DOMAIN) | Q(**{users.USERNAME_FIELD: EVALUATIONS_ACCOUNT})
    return not users.objects.exclude(own).exists()


def _load() -> Iterator[str]:
    """Load the recorded evidence of the sandbox, or that of `make evals-live`."""
    is_sandbox = controls.live.provider() == recorded.PROVIDER
    file = recorded.FILE if is_sandbox else LIVE_EVIDENCE
    if not is_sandbox and not file.exists():
        return
    try:
        load(file)
    except RecordedError as error:
        yield f"Evidence is not loaded. {error}"


def load(file: Path) -> int:
    """Store the evidence in a file, unless it is known. Return the number of new rows.

    Raises RecordedError if the file cannot be used.
    """
    found = recorded.read(file)
    if found.problem:
        raise RecordedError(found.problem)
    with transaction.atomic():
        return sum(_load_row(file, found, at) for at in range(len(found.rows)))


def _load_row(file: Path, found: Recorded, at: int) -> int:
    """Store a row of a file, unless it is known. Return the number of new rows."""
    is_recorded = found.sandbox is not None
    origin = Evidence.Origin.RECORDED if is_recorded else Evidence.Origin.LOADED
    row = found.rows[at]
    try:
        checked = loading.checked(row, is_recorded=is_recorded, now=timezone.now())
        return evidence.load([checked], origin=origin)
    except (loading.RowError, *UNSTORABLE) as error:
        name = f"row {at + 1} ({row.get('feature')} {row.get('version')})"
        why = " ".join(str(error).split())
        raise RecordedError(
            f"{file} was edited or is damaged, and nothing of it is loaded: {name}: {why}"
        ) from None


def _notes(feature: Feature) -> Iterator[str]:
    """Yield that users do not get the code's version of a feature, with what would help."""
    slug, live = feature.slug, controls.live_version(feature)
    if live == feature.prompt_version:
        return
    if live is None and (price := _price(feature)):
        yield f"{slug}: staff only until `make evals-live` has run (about {price})"
    elif problem := why_not(feature):
        who = f"users get {live}, not {feature.prompt_version}" if live else "staff only"
        yield f"{slug}: {who}. {problem}"


def why_not(feature: Feature) -> str:
    """Return why the code's version cannot be activated, with the command; empty if it can."""
    for each in standing.of(feature).versions:
        if each.version == feature.prompt_version and each.problem:
            has_command = not each.command or each.command in each.problem
            return each.problem if has_command else f"{each.problem} Evaluate it: {each.command}"
    return ""


def _price(feature: Feature) -> str:
    """Return the price of a feature's evaluation with a real key; empty if it would not help."""
    if feature.suite is None or controls.live.provider() == recorded.PROVIDER:
        return ""
    try:
        activations.evidence_of(feature, feature.prompt_version)
    except RefusedError:
        pass
    else:
        return ""  # it did not pass
    try:
        wanted = plan.Wanted(
            feature=feature,
            candidate=feature.prompt_version,
            baseline=None,
            repeats=plan.USUAL_REPEATS,
            cap_micro=0,
            suite=suites.load(feature),
        )
        return costs.dollars(plan.estimate(wanted).micro)
    except (suites.SuiteError, plan.PlanError):
        return ""
