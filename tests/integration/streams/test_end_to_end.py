"""From the provider's first word to the reader's last event, on the real stores."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from aifeature.models import Job, Status
from aifeature.services.execution import job_run
from tests.held import held
from tests.integration.job_rows import MakeJob
from tests.integration.streams.readers import reader
from tests.sandbox_server import SandboxServer

pytestmark = pytest.mark.usefixtures("live_prompt")

MIDWAY = 10
"""Events of the answer before it stalls; they hold a part of the summary."""

ARTICLE = (
    "The course platform moved its billing to a new provider on 3 March 2026. "
    "Customers with a yearly plan keep their price until the plan ends. "
    "Refunds are paid within 30 days to the card that was charged. "
    "Anna Berg leads the migration and reports to the board each Friday."
)


def run(job: Job) -> None:
    job_run.run_feature(job.id, worker="test")
    connection.close()


def read_job(job: Job) -> Any:
    job.refresh_from_db()
    connection.close()
    return job


def test_text_arrives_before_the_end(make_job: MakeJob, sandbox: SandboxServer, token: str) -> None:
    job = make_job(input={"document": ARTICLE})
    sandbox.set_faults({"kind": "stall", "after_events": MIDWAY})
    connection.close()

    async def scene() -> None:
        async with reader(token, job.id) as early:
            work = asyncio.create_task(sync_to_async(run, thread_sensitive=False)(job))
            with held():  # released on failure too, or the run would outlast the test
                await early.until(lambda: bool(early.text))
                begun, seen = await sync_to_async(read_job)(job), early.text
            assert (begun.status, begun.result) == (Status.RUNNING, None)
            await early.end()
            await work
        async with reader(token, job.id) as late:
            await late.end()
        stored = (await sync_to_async(read_job)(job)).result["summary"]
        assert stored.startswith(seen)
        assert len(seen) < len(stored)
        for stream in (early, late):
            assert stream.text == stored
            assert stream.events[-1].name == "result"
            assert stream.events[-1].data["result"]["summary"] == stored
        assert early.named("reset") == [], "the text only grew"
        assert early.headers["content-type"] == "text/event-stream"

    asyncio.run(scene())
