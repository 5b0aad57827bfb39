"""Refusals of HTTP requests. Those of the domain are in `services/jobs/refusals.py`."""

from __future__ import annotations

from aifeature.services.jobs.refusals import Refusal


class BadRequest(Refusal):
    """The request is malformed, and no field is to blame."""


class InvalidJson(Refusal):
    status, code, title = 400, "invalid_json", "Invalid JSON"


class Unauthenticated(Refusal):
    status, code, title = 401, "unauthenticated", "Not signed in"


class CsrfFailed(Refusal):
    status, code, title = 403, "csrf_failed", "CSRF check failed"


class OutOfScope(Refusal):
    status, code, title = 403, "token_scope", "Not allowed for this token"


class MethodNotAllowed(Refusal):
    status, code, title = 405, "method_not_allowed", "Method not allowed"


class RequestTimeout(Refusal):
    status, code, title = 408, "request_timeout", "Request timed out"


class UnsupportedMediaType(Refusal):
    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class TooManyStreams(Refusal):
    status, code, title = 429, "too_many_streams", "Too many streams"


class InternalError(Refusal):
    status, code, title = 500, "internal_error", "Internal error"


class Interrupted(Refusal):
    """The server restarted before the request ended. It may have been carried out."""

    status, code, title = 503, "interrupted", "Interrupted"


class DatabaseUnavailable(Refusal):
    status, code, title = 503, "database_unavailable", "Temporarily unavailable"
