"""A user who cancels an answer keeps the text already shown, and pays for it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from aifeature.models import Attempt, CancelledBy, Job, SpendWindow, transitions
from aifeature.services.streams import writer
from tests.integration.event_loop import until
from tests.integration.job_rows import MakeJob
from tests.integration.streams.readers import reader
from tests.integration.streams.test_end_to_end import ARTICLE, run
from tests.sandbox_server import SandboxServer

pytestmark = pytest.mark.usefixtures("live_prompt")

HELD_AT = 12
"""Events of the answer before it stalls."""


def cancel(job: Job, by: CancelledBy) -> None:
    transitions.cancel(job.pk, user_id=job.user_id, message="It was cancelled.", by=by)
    connection.close()


def read_until_it_stalls_and_cancel(
    sandbox: SandboxServer, token: str, job: Job, by: CancelledBy
) -> tuple[str, str, list[dict[str, Any]]]:
    """Return the text at the cancellation, the text at the end, and the error events."""
    sandbox.set_faults({"kind": "stall", "after_events": HELD_AT})
    connection.close()

    async def scene() -> tuple[str, str, list[dict[str, Any]]]:
        async with reader(token, job.id) as stream:
            await stream.until(lambda: bool(stream.named("status")))
            work = asyncio.create_task(sync_to_async(run, thread_sensitive=False)(job))
            await stream.until(lambda: bool(stream.text))
            shown = stream.text
            await sync_to_async(cancel, thread_sensitive=False)(job, by)
            await stream.end()
            await work
        return shown, stream.text, stream.named("error")

    found = asyncio.run(scene())
    job.refresh_from_db()
    return found


def test_text_is_charged(make_job: MakeJob, sandbox: SandboxServer, token: str, ada: User) -> None:
    job = make_job(input={"document": ARTICLE})
    shown, at_the_end, (last,) = read_until_it_stalls_and_cancel(
        sandbox, token, job, CancelledBy.USER
    )
    assert last["status"] == "cancelled"
    assert job.partial_text == at_the_end, "the reader and the row agree"
    assert at_the_end.startswith(shown)
    call = Attempt.objects.get()
    assert 0 < job.charge_micro <= call.spend_micro
    assert call.own_spend
    window = SpendWindow.objects.get(scope="user")
    assert (window.spent_micro, window.own_spend_micro) == (job.charge_micro, call.spend_micro)

    visitor = Client()
    visitor.force_login(ada)
    told = json.loads(visitor.get(f"/api/v1/jobs/{job.pk}").content)
    assert (told["partial_text"], told["result"]) == (job.partial_text, None)
    page = visitor.get(f"/jobs/{job.pk}/").content.decode()
    assert job.partial_text in page


@pytest.mark.parametrize("by", [CancelledBy.STAFF, CancelledBy.ERASURE])
def test_another_person_cancels_free_of_charge(
    make_job: MakeJob, sandbox: SandboxServer, token: str, by: CancelledBy
) -> None:
    job = make_job(input={"document": ARTICLE})
    shown, _, _ = read_until_it_stalls_and_cancel(sandbox, token, job, by)
    assert shown
    assert (job.status, job.charge_micro, job.partial_text) == ("cancelled", 0, "")


def test_text_that_redis_never_confirmed_is_not_charged(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No reader can have seen it."""
    monkeypatch.setattr(writer.StreamWriter, "flush", lambda _: None)
    job = make_job(input={"document": ARTICLE})
    sandbox.set_faults({"kind": "stall", "after_events": HELD_AT})
    connection.close()

    async def scene() -> None:
        work = asyncio.create_task(sync_to_async(run, thread_sensitive=False)(job))
        await until(lambda: bool(sandbox.calls()))
        await sync_to_async(cancel, thread_sensitive=False)(job, CancelledBy.USER)
        await work

    asyncio.run(scene())
    job.refresh_from_db()
    assert (job.status, job.charge_micro, job.partial_text) == ("cancelled", 0, "")
    assert Attempt.objects.get().own_spend, "it still counts as the user's own spend"
