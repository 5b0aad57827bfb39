"""Django's crash reports, for the debug page and for e-mails to admins, without user content."""

from __future__ import annotations

from types import FrameType, TracebackType
from typing import Any

from django.http import HttpRequest
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from project import scrubbing


class _NoValues(SafeExceptionReporterFilter):
    def get_traceback_frame_variables(
        self,
        request: HttpRequest | None,  # noqa: ARG002 (Django's signature)
        tb_frame: FrameType,  # noqa: ARG002
    ) -> Any:
        return []

    def get_safe_settings(self) -> dict[str, Any]:
        return {}


class Reporter(ExceptionReporter):
    """Shows the types and codes of exceptions, and source lines, but no values."""

    def __init__(
        self,
        request: HttpRequest | None,  # noqa: ARG002 (its body, query and cookies are content)
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        tb: TracebackType | None,
        is_email: bool = False,  # noqa: FBT001, FBT002 (Django's signature)
    ) -> None:
        super().__init__(None, exc_type, exc_value, tb, is_email)
        self.filter = _NoValues()

    def get_traceback_data(self) -> dict[str, Any]:
        """Return the data of the page and the e-mail, without values."""
        found: dict[str, Any] = dict(super().get_traceback_data())
        found.pop("exception_notes", None)
        found.pop("unicode_hint", None)
        if isinstance(self.exc_value, BaseException):  # otherwise it is the text of a log record
            found["exception_value"] = shown = scrubbing.kind(self.exc_value)
            if found.get("template_info"):
                found["template_info"] = {**found["template_info"], "message": shown}
        found["frames"] = [_frame(frame) for frame in found["frames"]]
        return found


def _frame(frame: dict[str, Any]) -> dict[str, Any]:
    cause = frame.get("exc_cause")
    return {**frame, "exc_cause": scrubbing.kind(cause) if cause is not None else None}
