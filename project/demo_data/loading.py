"""Loads the synthetic days into the database, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from django.db import connection, transaction
from django.db.models.functions import Now

from aifeature.models import CanaryStep, DemoData
from aifeature.models.functions import database_now
from aifeature.policies.percent import canary as purpose_of
from aifeature.policies.percent import place, place_for
from aifeature.services import controls
from aifeature.services.promotion import RefusedError as NotActivatedError
from evals import recorded
from project import local_features
from project.demo_data import (
    checks,
    history,
    incidents,
    opinions,
    people,
    requests,
    rules,
    tables,
    weekly,
)
from project.demo_data.requests import World
from project.demo_data.rows import Person, Request
from project.demo_data.rules import RefusedError
from project.demo_data.story import CANARY_PERCENT, DAYS, SLUGS, SUMMARIZE, TRIAGE, WEEKS, Story

LOCK: Final = "aif_demo_data"
Note = Callable[[str], None]


def load(
    *, days: int = DAYS, weeks: int = WEEKS, scale: float = 1.0, note: Note = lambda _: None
) -> dict[str, int]:
    """Load the synthetic data. Return the number of rows by table.

    Args:
        days: UTC days of requests, of which today is one.
        weeks: Weekly evaluations of each feature.
        scale: Share of the usual number of requests.
        note: Prints progress.

    Raises:
        RefusedError: this database may not get them. Nothing is changed.
    """
    begun = time.monotonic()
    with transaction.atomic():
        with connection.cursor() as cursor:  # two loads at the same time would both pass the check
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [LOCK])
        rules.check()
        mark = DemoData.objects.create()
        facts = _load(days, weeks, scale, note)
        mark.facts = {**facts, "seconds": round(time.monotonic() - begun, 1)}
        mark.ended_loading_at = Now()
        mark.save()
    controls.clear_cache()
    return facts


def _load(days: int, weeks: int, scale: float, note: Note) -> dict[str, int]:
    story = Story(database_now())
    local_features.load(recorded.FILE)
    operator, log = people.operator(), history.AuditLog()
    try:
        history.write(story, operator, log)
    except NotActivatedError as refused:
        raise RefusedError(f"No synthetic data are loaded: {refused}") from None
    crowd = people.create(story)
    step = history.canary(story, operator, log)
    found = requests.generate(_world(story, crowd, step), days=days, scale=scale)
    note(f"{len(found):,} requests of {len(crowd)} users")
    facts = _write(story, found, crowd, step)
    note("the ledger's sums")
    checks.sum_up(story, found)
    note("incidents and evaluations")
    incidents.trip(story, found, operator, log)
    log.write()
    incidents.outage(story, operator)
    incidents.releases(story)
    incidents.refused(story, crowd)
    facts["audited answers"] = incidents.audits(story, found, operator)
    facts["weekly evaluations"] = weekly.write(story, operator, weeks=weeks)
    history.set_cost_limit(step.canary, found)
    note("the checks of the numbers, the ramp and the canary")
    checks.run(story)
    return facts


def _world(story: Story, crowd: list[Person], step: CanaryStep) -> World:
    purpose = purpose_of(step.canary_id)

    def arm_of(user: int) -> str:
        mine = place_for(SUMMARIZE, purpose, user)
        return "candidate" if mine < CANARY_PERCENT else "live"

    places = {each.pk: place(TRIAGE, each.pk) for each in crowd}
    return World(story, crowd, places, arm_of)


def _write(
    story: Story, found: list[Request], crowd: list[Person], step: CanaryStep
) -> dict[str, int]:
    retention = {slug: controls.retention_days(slug) for slug in SLUGS}
    rows = tables.Rows(story.now, retention, step.pk)
    return tables.write(
        rows,
        found,
        opinions=opinions.opinions(story, found),
        signals=opinions.signals(story, found),
        recommendations=opinions.recommendations(story, crowd),
        findings=opinions.findings(story, found),
    )
