"""What Flower is sent of a task that failed: the type of its exception, and where it was raised.

Celery puts the exception's repr and its whole traceback into an event, which Redis passes on and
Flower shows.
"""

from __future__ import annotations

from typing import Any

from celery import Task as CeleryTask
from celery.worker.request import Request as CeleryRequest

from project import scrubbing


class Request(CeleryRequest):
    """A task that a worker was handed."""

    _failure: BaseException | None = None

    def on_failure(self, exc_info: Any, *arguments: Any, **more: Any) -> Any:
        """Keep the exception for the event, then go on as Celery does."""
        self._failure = _exception(exc_info)
        return super().on_failure(exc_info, *arguments, **more)

    def on_retry(self, exc_info: Any) -> Any:
        """As above."""
        self._failure = _exception(exc_info)
        return super().on_retry(exc_info)

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 (Celery's name)
        """Send an event without the message of an exception."""
        if "exception" in fields:
            fields["exception"] = scrubbing.kind(self._failure) if self._failure else "unknown"
        if "traceback" in fields:
            fields["traceback"] = "\n".join(scrubbing.trace(self._failure)) if self._failure else ""
        super().send_event(type, **fields)


class Task(CeleryTask[Any, Any]):
    """The base of all tasks."""

    Request = "project.task_events:Request"


def _exception(exc_info: Any) -> BaseException | None:
    found = exc_info.exception
    found = getattr(found, "exc", found)  # what billiard wraps it in
    return found if isinstance(found, BaseException) else None
