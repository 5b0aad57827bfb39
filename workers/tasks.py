"""Celery tasks: thin, ids as keywords, one domain call each.

Each task ignores unknown keywords, which a newer sender may add during a deploy.
"""

from __future__ import annotations

import os
import secrets
from typing import Any
from uuid import UUID

from celery import Task, shared_task
from celery.signals import worker_init, worker_ready, worker_shutdown, worker_shutting_down
from django.conf import settings

from aifeature.services import dispatch, provider
from aifeature.services.alarms import check as numbers
from aifeature.services.alarms import releases
from aifeature.services.alerting import check_runs
from aifeature.services.channels import check as channels
from aifeature.services.controls import global_cap, row_check
from aifeature.services.dispatch import Dispatcher, recovery
from aifeature.services.execution import Runner, calls, worker_context
from aifeature.services.monitoring.spikes import check as spikes
from aifeature.services.privacy import retention
from aifeature.services.promotion import gate_check
from aifeature.services.provider import watch
from aifeature.services.rollout import check as rollout
from aifeature.services.shadows import driver as shadows
from aifeature.services.spend import budgets, reconciler
from evals import retention as eval_outputs
from evals.weekly import ticks as weekly_evals
from project import boot, loading

_dispatcher = Dispatcher()
_runner = Runner()

_PROCESS = secrets.token_hex(4)
"""Distinguishes this process from an earlier one: after a container restart host name and PID are
the same, and the presence of the dead process would look alive."""


def _queues(worker: Any) -> set[str]:
    return set(worker.app.amqp.queues.consume_from)


def _name(hostname: str | None) -> str:
    """Return the name of this process. Celery's name is not unique during a restart."""
    return f"{hostname}/{_PROCESS}/{os.getpid()}"


@worker_init.connect
@boot.or_exit
def _prepare(sender: Any, **_: Any) -> None:
    """Start what does not need the broker. Exit if the database does not fit this project."""
    if not boot.is_fit(boot.database()):
        raise SystemExit(os.EX_CONFIG)
    queues = _queues(sender)
    if queues & set(dispatch.QUEUES):
        with loading.uncollected():
            provider.gateway()  # before the first job, because it loads the provider's SDK
    if "control" in queues:
        _dispatcher.start()
        boot.warn_soon(releases.at_boot)
    global_cap.announce()
    boot.warn_soon(gate_check.at_boot)


@worker_ready.connect
@boot.or_exit
def _begin(sender: Any, **_: Any) -> None:
    worker = sender.controller
    name, queues = _name(worker.hostname), _queues(worker)
    jobs = next((queue for queue in dispatch.QUEUES if queue in queues), "")
    if jobs:
        _runner.start(worker=name, slots=worker.concurrency, queue=jobs)
    for queue in queues - {jobs}:
        shown = name if queues == {queue} else f"{name}:{queue}"
        worker_context.current().keeper.appear(shown, queue=queue, slots=worker.concurrency)


@worker_shutting_down.connect
def _drain(**_: Any) -> None:
    """Limit the time of running jobs after SIGTERM. Celery starts no task and waits for them."""
    config = settings.AIFEATURE
    _runner.drain(grace_s=config["WORKER_GRACE_S"], end_s=config["LEASE_S"])


@worker_shutdown.connect
def _end(**_: Any) -> None:
    _runner.close()
    _dispatcher.stop()


@shared_task(name=dispatch.RUN_JOB, bind=True)
def run_job(self: Task[Any, Any], /, *, job_id: str, **_: Any) -> None:
    _runner.run(UUID(job_id), worker=_name(self.request.hostname))


@shared_task(name="control.sweep")
def sweep(**_: Any) -> int:
    """End overdue jobs and dispatch due ones, in case no dispatcher runs."""
    return recovery.run_tick()


@shared_task(name="control.retention")
def delete_old_content(**_: Any) -> int:
    """Delete the content of old jobs and evaluations, once a day however often it is sent."""
    return retention.run_daily(also=eval_outputs.delete_expired)


@shared_task(name="control.reconcile")
def reconcile(**_: Any) -> str:
    """Compare the spend windows with the ledger."""
    return check_runs.run("control.reconcile", reconciler.check).result


@shared_task(name="control.provider")
def check_provider(**_: Any) -> str:
    """Alert on-call about an open circuit breaker."""
    return check_runs.run("control.provider", lambda: watch.check(probe=calls.probe)).result


@shared_task(name="control.budgets")
def check_budgets(**_: Any) -> str:
    """Alert on-call about a budget that is used up."""
    return check_runs.run("control.budgets", budgets.check).result


@shared_task(name=row_check.TASK)
def check_controls(**_: Any) -> str:
    """Alert on-call about controls that this release cannot apply, and about unproven prompts."""
    return check_runs.run(row_check.TASK, gate_check.check).result


@shared_task(name=channels.TASK)
def deliver_alerts(**_: Any) -> str:
    """Send alerts to channels, and escalate those that were not acknowledged."""
    return check_runs.run(channels.TASK, channels.check).result


@shared_task(name=rollout.TASK)
def check_rollout(**_: Any) -> str:
    """Move, hold or step back what is rolled out in steps."""
    return check_runs.run(rollout.TASK, rollout.check).result


@shared_task(name=spikes.TASK)
def check_spikes(**_: Any) -> bool:
    """Throttle users and stop features with unusually high spend, once a minute."""
    return spikes.run_once()


@shared_task(name=numbers.TASK)
def check_numbers(**_: Any) -> bool:
    """Measure the six numbers of each feature, and alert and act on red ones, once a minute."""
    return numbers.run_once()


@shared_task(name=weekly_evals.WEEKLY)
def begin_weekly_evals(**_: Any) -> str:
    """Plan the regression runs of the live prompts, once a day however often it is sent."""
    return check_runs.run(weekly_evals.WEEKLY, weekly_evals.begin).result


@shared_task(name=weekly_evals.DRIVE)
def drive_weekly_evals(**_: Any) -> str:
    """Take the open regression runs some steps further."""
    return check_runs.run(weekly_evals.DRIVE, weekly_evals.drive).result


@shared_task(name=shadows.TASK)
def drive_shadows(**_: Any) -> str:
    """Copy some requests for candidates, and compare what was answered."""
    return check_runs.run(shadows.TASK, shadows.drive).result
