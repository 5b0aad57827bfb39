"""The end of a job, read from the database for its streams."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.db import InterfaceError, OperationalError
from ninja.responses import NinjaJSONEncoder

from aifeature import registry
from aifeature.api import sse, stopping
from aifeature.api.fair_threads import give_connections_back
from aifeature.api.representation import job_out
from aifeature.models import Job, Status
from aifeature.services import jobs
from aifeature.services.jobs.refusals import NotFound

if TYPE_CHECKING:
    from django.contrib.auth.models import User

RETRY_S: Final = 1.0
"""Seconds between two tries while the database is unavailable."""

_threads: Final = ThreadPoolExecutor(max_workers=4, thread_name_prefix="ending")
"""Bounded, since a thousand streams may end at the same moment."""


@dataclass(frozen=True, slots=True)
class Ended:
    status: Status
    epoch: int
    stored: str | None
    """Stored text of the streamed field, or the shown part of a cancelled answer; None: neither."""

    event: bytes
    """The last event of its stream."""


async def read(user: User, job_id: UUID) -> Ended | None:
    """Return the end of the user's job, or None if the job is gone or this process is stopping.

    Retries while the database is unavailable.
    """
    loop = asyncio.get_running_loop()
    while not stopping.is_stopping():
        try:
            return await loop.run_in_executor(_threads, _read, user, job_id)
        except NotFound:
            return None
        except (OperationalError, InterfaceError):
            await asyncio.sleep(RETRY_S)
    return None


def last_id(job: Job) -> str:
    """Return the id of the job's last event.

    It contains the status: an approval changes it, so an earlier reader is not at the end.
    """
    return f"{job.epoch}-{job.status}"


def stream_field(feature: str) -> str | None:
    try:
        return registry.get(feature).stream_field
    except registry.UnknownFeatureError:
        return None


def _read(user: User, job_id: UUID) -> Ended:
    try:
        job = jobs.get(user=user, job_id=job_id)
    finally:
        give_connections_back()
    status = Status(job.status)
    return Ended(status, job.epoch, _stored(job, status), _last_event(job, status))


def _stored(job: Job, status: Status) -> str | None:
    if status is Status.CANCELLED and job.partial_text:
        return job.partial_text
    field = stream_field(job.feature)
    if field is None or status is not Status.SUCCEEDED or not isinstance(job.result, dict):
        return None
    text = job.result.get(field)
    return text if isinstance(text, str) else None


def _last_event(job: Job, status: Status) -> bytes:
    shown = job_out(job)
    if status in {Status.SUCCEEDED, Status.NEEDS_APPROVAL}:
        # Identical to the job's own representation, character for character.
        text = json.dumps(shown.model_dump(), cls=NinjaJSONEncoder)
        return sse.event("result", text, event_id=last_id(job))
    code, message = (shown.error.code, shown.error.message) if shown.error else (str(status), "")
    data = {"code": code, "message": message, "status": status}
    return sse.event("error", data, event_id=last_id(job))
