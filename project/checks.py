"""Every task name that is sent, now or by the schedule, must be one that workers know."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from aifeature.services import dispatch
from project.celery import app


@register("celery")
def check_task_names(**_: Any) -> list[CheckMessage]:
    """Names sent by services or by the beat schedule that no worker has registered."""
    for module in app.conf.imports:  # not the loader: at a worker's start it runs these checks
        import_module(module)
    scheduled = {str(entry["task"]) for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    return unknown_tasks(dispatch.TASK_NAMES | scheduled, known=app.tasks)


def unknown_tasks(names: Iterable[str], *, known: Iterable[str]) -> list[CheckMessage]:
    """One error for each name that is not known."""
    return [
        Error(
            f"Task {name!r} is sent but no worker knows it.",
            hint="Define it in workers/tasks.py, or mend the name where it is sent.",
            id="project.E001",
        )
        for name in sorted(set(names) - set(known))
    ]
