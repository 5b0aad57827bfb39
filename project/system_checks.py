"""System checks of task names, the schedule and the database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Doubt
from django_celery_beat.models import PeriodicTask

from aifeature.services import dispatch
from aifeature.services.watch import broken, protected
from project import boot
from project.celery import app


@register("celery")
def check_task_names(**_: Any) -> list[CheckMessage]:
    """Check that a worker registers each task that services or the schedule send."""
    for module in app.conf.imports:  # the loader would run the checks of features
        import_module(module)
    scheduled = {str(entry["task"]) for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    return unknown_tasks(dispatch.TASK_NAMES | scheduled, known=app.tasks)


@register("celery")
def check_schedule(**_: Any) -> list[CheckMessage]:
    """Check that workers can run the code's schedule, and that it has all protected checks."""
    return list(schedule_problems(settings.CELERY_BEAT_SCHEDULE))


@register("settings")
def check_engine(**_: Any) -> list[CheckMessage]:
    """Check that the database engine is this project's, with its pool."""
    return [Error(each.text, id="project.E004") for each in boot.engine()]


@register(Tags.database)
def check_database(*, databases: Any = None, **_: Any) -> list[CheckMessage]:
    """Check that the database is fit for this project, if a database may be used."""
    if not databases:
        return []
    return [
        Error(each.text, id="project.E005")
        if each.is_fatal
        else Doubt(each.text, id="project.W001")
        for each in boot.server()
    ]


def schedule_problems(entries: Mapping[str, Mapping[str, Any]]) -> Iterator[CheckMessage]:
    """Yield an error for each problem of a schedule in the form of CELERY_BEAT_SCHEDULE."""
    for name, entry in entries.items():
        row = PeriodicTask(
            name=name,
            task=entry["task"],
            args=json.dumps(entry.get("args", [])),
            kwargs=json.dumps(entry.get("kwargs", {})),
            queue=entry.get("options", {}).get("queue"),
        )
        for _, sentence in broken.of_message(row):
            yield Error(
                f"{name!r} of CELERY_BEAT_SCHEDULE cannot be sent: {sentence}",
                hint="Correct the entry in project/settings.py.",
                id="project.E002",
            )
    for task in sorted(protected.PROTECTED - {str(entry["task"]) for entry in entries.values()}):
        yield Error(
            f"CELERY_BEAT_SCHEDULE does not send the protected check {task!r}.",
            hint="Add an entry for it in project/settings.py.",
            id="project.E003",
        )


def unknown_tasks(names: Iterable[str], *, known: Iterable[str]) -> list[CheckMessage]:
    """Return an error for each name that is not in `known`."""
    return [
        Error(
            f"Task {name!r} is sent but no worker has it.",
            hint="Define it in workers/tasks.py, or correct the name where it is sent.",
            id="project.E001",
        )
        for name in sorted(set(names) - set(known))
    ]
