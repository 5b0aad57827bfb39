"""Which error of our tree a failed call is: the tables, by what the provider or the network said.

The provider does not charge failed requests, so an error status costs nothing. The exceptions are
504 and 524 without the provider's own error: there a proxy gave up waiting for a call that may
still succeed. `docs/decisions/billing.md` has the whole table and its sources.
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
"""Codes that say more than their status does. Some 429s are a bill and not a rate, and some 400s
are about the organization, its encryption key or the API key, and not about the request."""

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
"""Other 5xx are the provider's fault, everything else is the request's."""

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
"""For errors inside a stream, where the status is 200 and the type is all there is."""

ACCOUNT_TYPES = frozenset({"authentication_error", "billing_error"})
"""Types that are about the account whatever the status is."""

BY_EXCEPTION: dict[type[Exception], type[InferenceError]] = {
    httpx2.TimeoutException: ProviderTimeout,
    httpx2.PoolTimeout: ConnectionFailed,
    httpx2.NetworkError: ConnectionFailed,
    httpx2.ProxyError: ConnectionFailed,
    httpx2.RemoteProtocolError: ConnectionFailed,
    httpx2.DecodingError: AnswerGarbled,
    httpx2.SSEError: AnswerGarbled,
    httpx2.HTTPError: ConnectionFailed,
    # What follows is a mistake of ours or a wrong address: trying again changes nothing.
    httpx2.UnsupportedProtocol: RequestRejected,
    httpx2.ProtocolError: RequestRejected,
    httpx2.TooManyRedirects: RequestRejected,
    httpx2.HTTPStatusError: RequestRejected,
    httpx2.StreamError: RequestRejected,
    httpx2.InvalidURL: RequestRejected,
    httpx2.CookieConflict: RequestRejected,
    # What reading an answer raises when it is not what the protocol promises.
    ValueError: AnswerGarbled,
    TypeError: AnswerGarbled,
    LookupError: AnswerGarbled,
    AttributeError: AnswerGarbled,
    RecursionError: AnswerGarbled,
    # A client closed under its calls, or a socket that failed outside the network stack.
    RuntimeError: ConnectionFailed,
    OSError: ConnectionFailed,
}
"""The most specific class wins."""

CONFLICT = 409
"""Of the statuses that reject a request the one whose cause may pass by itself."""

_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

ACCOUNT_MESSAGES = (
    "your credit balance is too low",
    "you have reached your specified api usage limits",
)
"""How the message begins of a 400 that is about the account's bill. The provider gives these two
neither a type nor a code of their own. Only the beginning counts: what follows may quote a prompt.
"""

A_PROXY_GAVE_UP = frozenset({504, 524})
"""Statuses with which a proxy reports that it forwarded the request and waited in vain."""


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

    `from_provider`: its body is the provider's error, as `is_provider_error` finds. `message` is
    compared with `ACCOUNT_MESSAGES` and never kept.
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
    """Whether a decoded response body is an error in the provider's own form.

    A gateway's error lacks the outer `type`, a proxy's page is no JSON.
    """
    if not isinstance(body, dict) or body.get("type") != "error":
        return False
    error = body.get("error")
    return isinstance(error, dict) and isinstance(error.get("type"), str)


def from_event(data: str, *, begun: bool, facts: Facts) -> InferenceError:
    """Return the error of an `error` event inside a stream.

    `begun`: it came after `message_start`. Before that, the request failed and is not billed.
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
    """The error of a failed transport or a garbled answer; None when it is neither.

    `received`: part of the response had come, so a lost connection broke an answer off.
    """
    found = next((BY_EXCEPTION[c] for c in type(error).__mro__ if c in BY_EXCEPTION), None)
    if found is None:
        return None
    if found is ConnectionFailed and received:
        found = AnswerIncomplete
    elif found is AnswerGarbled and not received:
        found = RequestRejected  # nothing came that could be garbled: the request was no JSON
    detail = type(error).__name__
    if isinstance(error, httpx2.NetworkError):
        detail = f"{detail}: {error}"  # the system's words; other messages quote what was read
    return found(detail, **facts)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds the provider asks us to wait, at least 0 and otherwise as given, or None."""
    wait = _number(headers.get("retry-after-ms"))
    if wait is not None:
        return max(wait / 1000, 0.0)
    given = headers.get("retry-after")
    wait = _number(given)
    until = _moment(given) if wait is None else None
    if until is not None:
        # From the sender's own clock, if it tells: ours may be wrong.
        sent = _moment(headers.get("date"))
        wait = until - (time.time() if sent is None else sent)
    return None if wait is None else max(wait, 0.0)


def rate_limits(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that tell the provider's limits and what is left of them."""
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
    """What `x-should-retry` overrides: nothing makes a wrong request right."""
    said = headers.get("x-should-retry")
    if said == "false":
        return False
    may_change = not kind.account_wide and (status == CONFLICT or issubclass(kind, Transient))
    return True if said == "true" and may_change else None


def _is_bill(status: int, error_type: str | None, message: object) -> bool:
    """Whether a 400 without a code of its own says that the account cannot pay."""
    if status != 400 or error_type != "invalid_request_error":  # noqa: PLR2004 - HTTP
        return False
    return isinstance(message, str) and message.lower().startswith(ACCOUNT_MESSAGES)


def _number(value: str | None) -> float | None:
    if value is None or _DECIMAL.fullmatch(value.strip()) is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _moment(value: str | None) -> float | None:
    """Seconds since the epoch of an HTTP date; None: it is none."""
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
    """A name that the provider gave; None for all else, which may quote a prompt."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def _detail(where: str, error_type: str | None, error_code: str | None) -> str:
    """Names only: the provider's message may quote the prompt."""
    return ": ".join(part for part in (where, error_type, error_code) if part)
