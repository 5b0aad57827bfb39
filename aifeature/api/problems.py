"""RFC 9457 problem documents for all errors of the API, and their mapping from exceptions."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import BadRequest as DjangoBadRequest
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.db import InternalError as DatabaseInternalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from ninja.errors import AuthenticationError, ValidationError
from psycopg.errors import IdleInTransactionSessionTimeout

from aifeature.api.refusals import (
    BadRequest,
    DatabaseUnavailable,
    InternalError,
    MethodNotAllowed,
    Unauthenticated,
)
from aifeature.services.failures.web_failures import failures
from aifeature.services.jobs.refusals import InputTooLarge, InvalidInput, NotFound, Refusal
from aifeature.services.texts import web_addresses

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
DATABASE_RETRY_S: Final = 5
"""`Retry-After` while the database is unavailable: about one failover probe."""


def problem(
    refusal: Refusal, headers: Mapping[str, str] | None = None, *, error: Exception | None = None
) -> HttpResponse:
    """Return the response for a refusal. It repeats nothing of the request but known field names.

    A server error, caused by `error`, is recorded for on-call, and the body has its reference.
    """
    body: dict[str, Any] = {
        "type": f"urn:aifeature:problem:{refusal.code}",
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
        "code": refusal.code,
    }
    is_ours = refusal.status >= InternalError.status
    if is_ours and (reference := failures.note(refusal.status, refusal.code, error)):
        body["reference"] = reference
    if refusal.errors:
        body["errors"] = list(refusal.errors)
    response = HttpResponse(json.dumps(body), status=refusal.status, content_type=MEDIA_TYPE)
    if refusal.retry_after_s is not None:
        response["Retry-After"] = str(refusal.retry_after_s)
    if isinstance(refusal, Unauthenticated):
        response["WWW-Authenticate"] = 'Bearer realm="api"'
    for name, value in (headers or {}).items():
        response[name] = value
    return response


def not_found() -> NotFound:
    return NotFound("There is nothing at this address.")


def method_not_allowed(allow: str) -> HttpResponse:
    """Return the response for a known URL that accepts only the methods in `allow`."""
    return problem(
        MethodNotAllowed(f"This address accepts only {allow or 'no method'}."), {"Allow": allow}
    )


def _of_validation(error: ValidationError) -> Refusal:
    """Return the refusal of invalid parameters. `loc` begins with their place, such as `query`."""
    return InvalidInput(
        "A parameter is not valid.",
        errors=[
            {"field": ".".join(map(str, found["loc"][1:])), "message": found["msg"]}
            for found in error.errors
        ],
    )


_TRANSLATIONS: Final[Mapping[type[Exception], Callable[[Any], Refusal | None]]] = {
    Refusal: lambda refusal: refusal,
    ValidationError: _of_validation,
    AuthenticationError: lambda _: Unauthenticated(
        "Sign in, or send a valid token as 'Authorization: Bearer aif_...'."
    ),
    Http404: lambda _: not_found(),
    RequestDataTooBig: lambda _: InputTooLarge(
        f"The request has more than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE:,} bytes."
    ),
    SuspiciousOperation: lambda _: BadRequest("The request is malformed."),
    DjangoBadRequest: lambda _: BadRequest("The request is malformed."),
    MultiPartParserError: lambda _: BadRequest("The request is malformed."),
    # An exhausted pool (PoolBusyError) is an OperationalError too.
    OperationalError: lambda _: _database_unavailable(),
    InterfaceError: lambda _: _database_unavailable(),
    # The database ended the transaction of a process that was suspended for long.
    DatabaseInternalError: lambda error: (
        _database_unavailable()
        if isinstance(error.__cause__, IdleInTransactionSessionTimeout)
        else None
    ),
}


def _database_unavailable() -> Refusal:
    return DatabaseUnavailable(
        "The service is temporarily unavailable. Please try again in a moment.",
        retry_after_s=DATABASE_RETRY_S,
    )


def refusal_for(error: Exception) -> Refusal | None:
    """Return the refusal for an exception; None if it is a defect of the service."""
    for kind in type(error).__mro__:
        if kind in _TRANSLATIONS:
            return _TRANSLATIONS[kind](error)
    return None


def _line(request: HttpRequest) -> str:
    return web_addresses.safe(f"{request.method} {request.path!r}")


def answer(request: HttpRequest, error: Exception) -> HttpResponse:
    """Return the response to a request that raised `error`.

    Server errors are logged with the path, the exception's type and its traceback, but never with
    its message, which may quote the input.
    """
    refusal = refusal_for(error)
    name = type(error).__name__
    if isinstance(refusal, DatabaseUnavailable):
        extra = {"status_code": refusal.status}  # repetitions within a minute are only counted
        logger.error("api: %s: %s", _line(request), name, extra=extra)
    if refusal is None:
        where = "".join(traceback.format_tb(error.__traceback__))
        logger.error("api: %s failed: %s", _line(request), name, extra={"where": where})
        refusal = InternalError("Something went wrong on our side. Our team has been notified.")
    return problem(refusal, error=None if isinstance(error, Refusal) else error)
