"""Task events for Flower without messages of exceptions.

Celery puts an exception's repr and its whole traceback into an event. Redis stores the event, and
Flower shows it. Here it contains the exception's type and codes, and the traceback's frames.
"""

from __future__ import annotations

from typing import Any

from celery import Task as CeleryTask
from celery.worker.request import Request as CeleryRequest

from project import scrubbing


class Request(CeleryRequest):
    """A task that a worker has received."""

    _failure: BaseException | None = None

    def on_failure(self, exc_info: Any, *arguments: Any, **more: Any) -> Any:
        """Keep the exception for the event."""
        self._failure = _exception(exc_info)
        return super().on_failure(exc_info, *arguments, **more)

    def on_retry(self, exc_info: Any) -> Any:
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
    found = getattr(found, "exc", found)  # billiard wraps the exception
    return found if isinstance(found, BaseException) else None
