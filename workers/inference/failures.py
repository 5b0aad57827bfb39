"""Tables that map a failure of the provider or the network to an error class.

The provider does not bill failed requests, so an error status costs nothing. The exceptions are 504
and 524 without the provider's own error: a proxy stopped waiting for a call that may still succeed.
`docs/decisions/billing.md` has the whole table and its sources.
"""

from __future__ import annotations

import email.utils
import json
import math
import re
import time
from typing import TYPE_CHECKING

import httpx2

from workers.inference.errors import (
    AccessDenied,
    AnswerGarbled,
    AnswerIncomplete,
    Billing,
    BillingStopped,
    ConnectionFailed,
    Facts,
    InferenceError,
    Overloaded,
    ProviderFault,
    ProviderTimeout,
    RateLimited,
    RequestRejected,
    Transient,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

BY_ERROR_CODE: dict[str, type[InferenceError]] = {
    "contract_spend_limit_reached": BillingStopped,
    "enforced_spend_limit_reached": BillingStopped,
    "linked_organization_spend_limit_reached": BillingStopped,
    "linked_organization_billing_unavailable": BillingStopped,
    "organization_on_hold": AccessDenied,
    "organization_type_not_supported": AccessDenied,
    "parent_organization_required": AccessDenied,
    "claude_code_key_creator_not_member": AccessDenied,
    "cmek_key_disabled": AccessDenied,
    "cmek_key_network_blocked": AccessDenied,
    "request_body_timeout": ProviderTimeout,
}
"""Codes that are more specific than their status. Some 429s concern billing, not a rate. Some 400s
concern the organization, its encryption key or the API key, not the request."""

BY_STATUS: dict[int, type[InferenceError]] = {
    401: AccessDenied,
    402: BillingStopped,
    403: AccessDenied,
    408: ProviderTimeout,
    429: RateLimited,
    499: ConnectionFailed,
    504: ProviderTimeout,
    524: ProviderTimeout,
    529: Overloaded,
}
"""Other 5xx are `ProviderFault`, all other statuses `RequestRejected`."""

BY_TYPE: dict[str, type[InferenceError]] = {
    "invalid_request_error": RequestRejected,
    "authentication_error": AccessDenied,
    "billing_error": BillingStopped,
    "permission_error": AccessDenied,
    "not_found_error": RequestRejected,
    "request_too_large": RequestRejected,
    "rate_limit_error": RateLimited,
    "timeout_error": ProviderTimeout,
    "api_error": ProviderFault,
    "overloaded_error": Overloaded,
    "conflict_error": RequestRejected,
    "memory_precondition_failed_error": RequestRejected,
    "memory_path_conflict_error": RequestRejected,
}
"""For errors inside a stream, which have only a type: their status is 200."""

ACCOUNT_TYPES = frozenset({"authentication_error", "billing_error"})
"""Types that concern the account, with any status."""

BY_EXCEPTION: dict[type[Exception], type[InferenceError]] = {
    httpx2.TimeoutException: ProviderTimeout,
    httpx2.PoolTimeout: ConnectionFailed,
    httpx2.NetworkError: ConnectionFailed,
    httpx2.ProxyError: ConnectionFailed,
    httpx2.RemoteProtocolError: ConnectionFailed,
    httpx2.DecodingError: AnswerGarbled,
    httpx2.SSEError: AnswerGarbled,
    httpx2.HTTPError: ConnectionFailed,
    # Our own mistakes or a wrong address: a retry would not help.
    httpx2.UnsupportedProtocol: RequestRejected,
    httpx2.ProtocolError: RequestRejected,
    httpx2.TooManyRedirects: RequestRejected,
    httpx2.HTTPStatusError: RequestRejected,
    httpx2.StreamError: RequestRejected,
    httpx2.InvalidURL: RequestRejected,
    httpx2.CookieConflict: RequestRejected,
    # Raised by the parser if an answer violates the protocol.
    ValueError: AnswerGarbled,
    TypeError: AnswerGarbled,
    LookupError: AnswerGarbled,
    AttributeError: AnswerGarbled,
    RecursionError: AnswerGarbled,
    # The client was closed during a call, or a socket failed outside the network stack.
    RuntimeError: ConnectionFailed,
    OSError: ConnectionFailed,
}
"""The most specific class wins."""

CONFLICT = 409
"""The only status of a rejected request whose cause may pass without a change to the request."""

_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

ACCOUNT_MESSAGES = (
    "your credit balance is too low",
    "you have reached your specified api usage limits",
)
"""First words of the messages of 400s that concern billing. These two have no type or code of their
own. Only the beginning is compared, because the rest may quote a prompt."""

A_PROXY_GAVE_UP = frozenset({504, 524})
"""Statuses of a proxy that forwarded the request and timed out."""


def from_status(
    status: int,
    *,
    headers: Mapping[str, str],
    error_type: str | None,
    error_code: str | None,
    from_provider: bool,
    facts: Facts,
    message: str | None = None,
) -> InferenceError:
    """Return the error of a response with an error status.

    `from_provider` is the result of `is_provider_error` for its body. `message` is compared with
    `ACCOUNT_MESSAGES` and not stored.
    """
    error_type, error_code = _name(error_type), _name(error_code)
    kind = _by_status(status, error_type, error_code)
    if kind is RequestRejected and from_provider and _is_bill(status, error_type, message):
        kind = BillingStopped
    facts = {**facts, "status": status, "retry_after_s": retry_after_s(headers)}
    may_succeed = status in A_PROXY_GAVE_UP and not from_provider
    facts["billing"] = Billing.UNSEEN if may_succeed else Billing.NONE
    facts["retryable"] = _provider_says_retry(status, kind, headers)
    facts["rate_limits"] = rate_limits(headers)
    return kind(_detail(f"HTTP {status}", error_type, error_code), **facts)


def is_provider_error(body: object) -> bool:
    """Return whether a decoded response body is an error in the provider's own form.

    A gateway's error lacks the outer `type`. A proxy's page is not JSON.
    """
    if not isinstance(body, dict) or body.get("type") != "error":
        return False
    error = body.get("error")
    return isinstance(error, dict) and isinstance(error.get("type"), str)


def from_event(data: str, *, begun: bool, facts: Facts) -> InferenceError:
    """Return the error of an `error` event inside a stream.

    `begun`: it followed `message_start`. Before that, the request failed and is not billed.
    """
    try:
        body = json.loads(data)["error"]
        error_type = _name(_string(body["type"])) or "of no known form"
        error_code = _name((body.get("details") or {}).get("error_code"))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return AnswerGarbled("an error event that cannot be read", **facts)
    kind = BY_ERROR_CODE.get(error_code or "") or BY_TYPE.get(error_type) or ProviderFault
    if not begun:
        facts = {**facts, "billing": Billing.NONE}
    return kind(f"error event in the stream: {error_type}", **facts)


def from_exception(error: BaseException, *, received: bool, facts: Facts) -> InferenceError | None:
    """Return the error of a failed transport or a garbled answer. None if it is neither.

    `received`: part of the response was read, so a lost connection makes an incomplete answer.
    """
    found = next((BY_EXCEPTION[c] for c in type(error).__mro__ if c in BY_EXCEPTION), None)
    if found is None:
        return None
    if found is ConnectionFailed and received:
        found = AnswerIncomplete
    elif found is AnswerGarbled and not received:
        found = RequestRejected  # without a response, the request itself could not be encoded
    detail = type(error).__name__
    if isinstance(error, httpx2.NetworkError):
        detail = f"{detail}: {error}"  # from the system; other messages may quote a response
    return found(detail, **facts)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of the provider's retry-after, at least 0, or None."""
    wait = _number(headers.get("retry-after-ms"))
    if wait is not None:
        return max(wait / 1000, 0.0)
    given = headers.get("retry-after")
    wait = _number(given)
    until = _moment(given) if wait is None else None
    if until is not None:
        # Use the sender's clock if it sent its time: ours may be wrong.
        sent = _moment(headers.get("date"))
        wait = until - (time.time() if sent is None else sent)
    return None if wait is None else max(wait, 0.0)


def rate_limits(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with the provider's limits and their remaining amounts."""
    return {
        name: value for name, value in headers.items() if name.startswith("anthropic-ratelimit-")
    }


def _by_status(status: int, error_type: str | None, error_code: str | None) -> type[InferenceError]:
    if error_code in BY_ERROR_CODE:
        return BY_ERROR_CODE[error_code]
    if error_type in ACCOUNT_TYPES:
        return BY_TYPE[error_type]
    if status in BY_STATUS:
        return BY_STATUS[status]
    return ProviderFault if status >= 500 else RequestRejected  # noqa: PLR2004 - HTTP


def _provider_says_retry(
    status: int, kind: type[InferenceError], headers: Mapping[str, str]
) -> bool | None:
    """Apply `x-should-retry`. A "true" is ignored if the same request cannot succeed."""
    header = headers.get("x-should-retry")
    if header == "false":
        return False
    may_change = not kind.account_wide and (status == CONFLICT or issubclass(kind, Transient))
    return True if header == "true" and may_change else None


def _is_bill(status: int, error_type: str | None, message: object) -> bool:
    """Return whether a 400 without its own code means that the account cannot pay."""
    if status != 400 or error_type != "invalid_request_error":  # noqa: PLR2004 - HTTP
        return False
    return isinstance(message, str) and message.lower().startswith(ACCOUNT_MESSAGES)


def _number(value: str | None) -> float | None:
    if value is None or _DECIMAL.fullmatch(value.strip()) is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _moment(value: str | None) -> float | None:
    """Return the Unix time of an HTTP date, or None if it is invalid."""
    try:
        date = email.utils.parsedate_tz(value or "")
        return None if date is None else float(email.utils.mktime_tz(date))
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value


def _name(value: object) -> str | None:
    """Return a value that is a plain name. None for other values: they may quote a prompt."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def _detail(where: str, error_type: str | None, error_code: str | None) -> str:
    """Join the names. The provider's message is omitted, because it may quote the prompt."""
    return ": ".join(part for part in (where, error_type, error_code) if part)
