"""Problems of a row of the schedule: a task, arguments or a queue that no worker accepts."""

from __future__ import annotations

import inspect
import json
from importlib import import_module
from typing import Any, Final

from celery import current_app
from celery.schedules import crontab
from django.db import Error as DatabaseError
from django.utils import timezone

from aifeature.services.watch import wall_clock

SHORTEST_S: Final = 1
"""Least seconds between two sends of a task. A shorter interval could overfill the queue."""


def task_names() -> list[str]:
    """Return the tasks that may be scheduled, sorted."""
    for module in current_app.conf.imports:  # the loader would run the checks of features
        import_module(module)
    return sorted(name for name in current_app.tasks if not name.startswith("celery."))


def queue_names() -> list[str]:
    return [queue.name for queue in current_app.conf.task_queues]


def problems(row: Any) -> list[tuple[str, str]]:
    """Return why a PeriodicTask cannot be sent or run, as pairs of a field and a sentence."""
    return [*of_message(row), *_of_schedule(row)]


def of_message(row: Any) -> list[tuple[str, str]]:
    """Return the problems of the message: task, arguments, queue and headers."""
    return [*_of_task(row), *_of_queue(row), *_of_headers(row)]


def never_sent(row: Any) -> list[tuple[str, str]]:
    """Return why a valid row would never be sent: it expires before it starts, or has expired.

    Beat disables such a row. For forms only: a stored row may expire as intended.
    """
    if row.expires is None:
        return []
    if row.expires <= timezone.now():
        return [("expires", "This time is past, so the task would never be sent.")]
    if row.start_time is not None and row.start_time >= row.expires:
        return [("expires", "It expires before it starts, so it would never be sent.")]
    return []


def ignored(row: Any) -> list[str]:
    """Return the named arguments that the task accepts and ignores.

    A task must accept them during a deploy, so a stored row may have them. In a form they are a
    mistake.
    """
    try:
        names = json.loads(row.kwargs or "{}").keys()
        parameters = inspect.signature(current_app.tasks[row.task].run).parameters.values()
    except (ValueError, KeyError, AttributeError):
        return []
    taken = {each.name for each in parameters if each.kind is not each.VAR_KEYWORD}
    return sorted(set(names) - taken)


def _of_task(row: Any) -> list[tuple[str, str]]:
    if row.task not in task_names():
        names = ", ".join(task_names())
        return [("task", f"There is no task {row.task!r}. Choose one of {names}.")]
    invalid: list[tuple[str, str]] = []
    args, kwargs = (
        _parsed(row, name, kind, invalid) for name, kind in (("args", list), ("kwargs", dict))
    )
    if invalid:
        return invalid
    try:
        inspect.signature(current_app.tasks[row.task].run).bind(*args, **kwargs)
    except TypeError as error:
        takes = inspect.signature(current_app.tasks[row.task].run)
        return [("kwargs", f"{row.task} does not take these arguments: {error}. It takes {takes}.")]
    return []


def _parsed(row: Any, name: str, kind: type, invalid: list[tuple[str, str]]) -> Any:
    text = getattr(row, name)
    shape = "a list, such as []" if kind is list else "an object, such as {}"
    try:
        value = json.loads(text) if text else kind()
    except (ValueError, RecursionError) as error:
        invalid.append((name, f"This is not JSON ({error}). Enter {shape}."))
        return kind()
    if not isinstance(value, kind):
        invalid.append((name, f"This is not {shape[: -len(', such as []')]}. Enter {shape}."))
        return kind()
    return value


def _of_queue(row: Any) -> list[tuple[str, str]]:
    found = []
    if row.queue and row.queue not in queue_names():
        names = ", ".join(queue_names())
        found.append(("queue", f"No worker serves the queue {row.queue!r}. Choose one of {names}."))
    found += [
        (name, "Leave this empty: only the queue decides where a task is sent.")
        for name in ("exchange", "routing_key")
        if getattr(row, name)
    ]
    return found


def _of_headers(row: Any) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if _parsed(row, "headers", dict, found):  # a header can replace the task's name in Celery
        found.append(("headers", "Leave this empty: a header can replace the task."))
    return found


def _of_schedule(row: Any) -> list[tuple[str, str]]:
    try:
        when = row.schedule if row.scheduler is not None else None
    except DatabaseError:
        raise
    except Exception as error:  # noqa: BLE001 (a library may raise anything for invalid values)
        return [("", f"Its schedule cannot be read: {error!r}. Choose another one.")]
    if when is None:
        return [("", "It has no schedule. Choose an interval or a crontab.")]
    if isinstance(when, crontab) and wall_clock.next_run(when, timezone.now()) is None:
        return [("crontab", wall_clock.NEVER)]
    every = getattr(when, "run_every", None)
    if row.interval is not None and every is not None and every.total_seconds() < SHORTEST_S:
        return [("interval", "It would be sent continuously. Choose one second or more.")]
    return []
