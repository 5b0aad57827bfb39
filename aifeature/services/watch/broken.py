"""What is wrong with a row of the schedule: a task, arguments or a queue that no worker takes."""

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
"""Seconds between two sends of one task: less would fill the queue faster than anybody works."""


def task_names() -> list[str]:
    """The tasks that workers know and that may be scheduled, in order."""
    for module in current_app.conf.imports:  # not the loader: its signal runs all system checks
        import_module(module)
    return sorted(name for name in current_app.tasks if not name.startswith("celery."))


def queue_names() -> list[str]:
    """The queues that workers serve."""
    return [queue.name for queue in current_app.conf.task_queues]


def problems(row: Any) -> list[tuple[str, str]]:
    """What keeps a periodic task from being sent and run: pairs of a field and a sentence.

    Args:
        row: A PeriodicTask, stored or not.

    Returns:
        Empty when a worker can run it.
    """
    return [*of_message(row), *_of_schedule(row)]


def of_message(row: Any) -> list[tuple[str, str]]:
    """Return what is wrong with the parts that are sent: task, arguments, queue and headers."""
    return [*_of_task(row), *_of_queue(row), *_of_headers(row)]


def in_vain(row: Any) -> list[tuple[str, str]]:
    """Return why a row that can be sent will not be: it has expired, or will have when it starts.

    Beat disables such a row. One that expired while it was there is as it was meant to be.
    """
    if row.expires is None:
        return []
    if row.expires <= timezone.now():
        return [("expires", "This time is past, so it would never be sent.")]
    if row.start_time is not None and row.start_time >= row.expires:
        return [("expires", "It expires before it starts, so it would never be sent.")]
    return []


def ignored(row: Any) -> list[str]:
    """Return the named arguments that the task accepts and does nothing with.

    A task must accept them during a deploy, so they are no problem; in a form they are a mistake.
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
        known = ", ".join(task_names())
        return [("task", f"No worker knows the task {row.task!r}. Choose one of {known}.")]
    found: list[tuple[str, str]] = []
    args, kwargs = (
        _parsed(row, name, kind, found) for name, kind in (("args", list), ("kwargs", dict))
    )
    if found:
        return found
    try:
        inspect.signature(current_app.tasks[row.task].run).bind(*args, **kwargs)
    except TypeError as error:
        takes = inspect.signature(current_app.tasks[row.task].run)
        return [("kwargs", f"{row.task} does not take these arguments: {error}. It takes {takes}.")]
    return []


def _parsed(row: Any, name: str, kind: type, found: list[tuple[str, str]]) -> Any:
    text = getattr(row, name)
    shape = "a list, such as []" if kind is list else "an object, such as {}"
    try:
        value = json.loads(text) if text else kind()
    except (ValueError, RecursionError) as error:
        found.append((name, f"This is not JSON ({error}). Enter {shape}."))
        return kind()
    if not isinstance(value, kind):
        found.append((name, f"This is not {shape[: -len(', such as []')]}. Enter {shape}."))
        return kind()
    return value


def _of_queue(row: Any) -> list[tuple[str, str]]:
    found = []
    if row.queue and row.queue not in queue_names():
        known = ", ".join(queue_names())
        found.append(("queue", f"No worker serves the queue {row.queue!r}. Choose one of {known}."))
    found += [
        (name, "Leave this empty: a task is sent by the name of its queue alone.")
        for name in ("exchange", "routing_key")
        if getattr(row, name)
    ]
    return found


def _of_headers(row: Any) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if _parsed(row, "headers", dict, found):  # Celery lets one replace the task's name
        found.append(("headers", "Leave this empty: a header can make another task of this one."))
    return found


def _of_schedule(row: Any) -> list[tuple[str, str]]:
    try:
        when = row.schedule if row.scheduler is not None else None
    except DatabaseError:
        raise
    except Exception as error:  # noqa: BLE001 (whatever a library raises for values it cannot read)
        return [("", f"Its schedule cannot be read: {error!r}. Give it another one.")]
    if when is None:
        return [("", "It has no schedule. Choose an interval or a crontab.")]
    if isinstance(when, crontab) and wall_clock.next_run(when, timezone.now()) is None:
        return [("crontab", wall_clock.NEVER)]
    every = getattr(when, "run_every", None)
    if row.interval is not None and every is not None and every.total_seconds() < SHORTEST_S:
        return [("interval", "It would be sent all the time. Choose a second or more.")]
    return []
