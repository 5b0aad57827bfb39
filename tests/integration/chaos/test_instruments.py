"""What the chaos harness sees of the database: each change, in order, with its transaction."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now

from aifeature.models import Job, Status, transitions
from aifeature.models.ledger import AttemptState
from aifeature.models.transitions import Settlement
from tests.chaos import instruments
from tests.chaos.evidence import from_database
from tests.integration.jobs.conftest import begin, claim

if TYPE_CHECKING:
    import psycopg


@pytest.fixture
def watched(db: None) -> psycopg.Connection:
    connection.ensure_connection()
    raw = cast("psycopg.Connection", connection.connection)
    instruments.install(raw)
    return raw


def test_a_jobs_whole_life_is_on_record(watched: psycopg.Connection, ada: User) -> None:
    job = Job.objects.create(
        user=ada,
        feature="summarize",
        input={"document": "Text."},
        idempotency_key="k",
        deadline_at=Now() + timedelta(seconds=300),
    )
    first = claim(job, worker="llm-1@host/7")
    lost = begin(first, bound=900)
    Job.objects.filter(pk=job.pk).update(lease_until="2000-01-01T00:00:00Z")
    second = claim(job, worker="llm-2@host/8")
    good = begin(second, bound=800)
    settled = Settlement(good, AttemptState.SETTLED, cost_micro=130, input_tokens=5)
    transitions.finish(second, Status.SUCCEEDED, result={"summary": "A."}, settlement=settled)
    found = from_database(watched, global_cap_micro=10)

    told = [
        (change.thing, change.id, change.old_state, change.state, change.old_epoch, change.epoch)
        for change in found["changes"]
        if change.old_state != change.state or change.old_epoch != change.epoch
    ]
    one = str(job.pk)
    assert told[:6] == [
        ("job", one, None, "queued", None, 0),
        ("job", one, "queued", "running", 0, 1),
        ("attempt", str(lost), None, "started", None, 1),
        ("job", one, "running", "running", 1, 2),
        ("attempt", str(lost), "started", "unknown", 1, 1),
        ("attempt", str(good), None, "started", None, 2),
    ]
    assert set(told[6:]) == {
        ("job", one, "running", "succeeded", 2, 2),
        ("attempt", str(good), "started", "settled", 2, 2),
    }
    assert len({change.tx for change in found["changes"]}) == 1  # the test's own
    taken_over = next(c for c in found["changes"] if (c.old_epoch, c.epoch) == (1, 2))
    assert (taken_over.old_worker, taken_over.worker) == ("llm-1@host/7", "llm-2@host/8")
    assert {"epoch", "worker", "lease_until"} <= set(taken_over.changed)

    (row,) = found["jobs"]
    assert (row.key, row.status, row.charge_micro, row.epoch) == ("k", "succeeded", 130, 2)
    assert [(a.id, a.state) for a in found["attempts"]] == [
        (str(lost), "unknown"),
        (str(good), "settled"),
    ]
    windows: dict[str, Any] = {window.scope: window for window in found["windows"]}
    assert (windows["global"].spent_micro, windows["global"].cap_micro) == (1_030, 10)
    # The lost call is spent at its bound while the next is held.
    assert windows["global"].peak_micro == 1_700
    assert windows["user"].spent_micro == 130
