"""The Celery tasks: thin, ids as keywords, one domain call each.

Each takes and ignores unknown keywords, so that a newer sender does no harm during a deploy.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import Task, shared_task
from celery.signals import worker_init

from aifeature.services import dispatch, execution, recovery, wiring


@worker_init.connect
def _build_client(sender: Any, **_: Any) -> None:
    """Build the provider client before the first job: it costs 0.1 s of CPU."""
    queues = {queue.strip() for queue in (sender.options or {}).get("queues") or ()}
    if queues & {"llm", "evals"}:
        wiring.gateway()


@shared_task(name=dispatch.RUN_JOB, bind=True)
def run_job(self: Task[Any, Any], /, *, job_id: str, **_: Any) -> None:
    """Run one job."""
    execution.run_feature(UUID(job_id), worker=self.request.hostname or "")


@shared_task(name="control.sweep")
def sweep(**_: Any) -> int:
    """Publish again what is due and on no way to a worker."""
    return recovery.publish_due()
