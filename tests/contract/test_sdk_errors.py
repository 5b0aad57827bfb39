"""Every exception of the SDK and of its transport is mapped to an error of ours.

An exception that a new version brings fails here until a person has mapped it.
"""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_args

import anthropic  # noqa: TID251 - the SDK is what is tested
import httpcore2
import httpx2
import pytest
from anthropic import _error_classes, _exceptions  # noqa: TID251 - it has no public list
from anthropic.types.shared.error_type import ErrorType  # noqa: TID251

from tests.contract.sdk_errors import mapped
from tests.provider_calls import a_request
from tests.wire import serving
from workers.inference import errors, failures, transport
from workers.inference.client import AnthropicClient, _Attempt, _sdk_failure
from workers.inference.errors import (
    AccessDenied,
    AnswerGarbled,
    Billing,
    BillingStopped,
    ConnectionFailed,
    InferenceError,
    Overloaded,
    ProviderFault,
    ProviderTimeout,
    RateLimited,
    RequestRejected,
)
from workers.inference.sockets import Call
from workers.inference.types import Cancel

if TYPE_CHECKING:
    from collections.abc import Iterator

JUDGED: dict[tuple[int, str | None], type[InferenceError]] = {
    (401, None): AccessDenied,
    (402, None): BillingStopped,
    (402, "linked_organization_billing_unavailable"): BillingStopped,
    (402, "linked_organization_spend_limit_reached"): BillingStopped,
    (403, None): AccessDenied,
    (400, "organization_on_hold"): AccessDenied,
    (400, "organization_type_not_supported"): AccessDenied,
    (400, "parent_organization_required"): AccessDenied,
    (400, "claude_code_key_creator_not_member"): AccessDenied,
    (400, "cmek_key_disabled"): AccessDenied,
    (400, "cmek_key_network_blocked"): AccessDenied,
    (400, "request_body_timeout"): ProviderTimeout,
    (408, None): ProviderTimeout,
    (429, None): RateLimited,
    (429, "contract_spend_limit_reached"): BillingStopped,
    (429, "enforced_spend_limit_reached"): BillingStopped,
    (429, "ramp_limit_exceeded"): RateLimited,
    (499, None): ConnectionFailed,
    (501, None): ProviderFault,
    (503, None): ProviderFault,
    (503, "cmek_context_unavailable"): ProviderFault,
    (503, "cmek_key_unreachable"): ProviderFault,
    (503, "registration_pending"): ProviderFault,
    (504, None): ProviderTimeout,
    (529, None): Overloaded,
    (529, "compaction_unavailable"): Overloaded,
}
"""Codes with another meaning than "the request was wrong" (or, for 403, "you may not")."""


def expected(status: int, code: str | None) -> type[InferenceError]:
    if (status, code) in JUDGED:
        return JUDGED[status, code]
    return AccessDenied if status == 403 else RequestRejected


def of_code(status: int, code: str | None) -> InferenceError:
    error = {"type": "x", "message": "m", "details": {"error_code": code}}
    return mapped(status, {"type": "error", "error": error})


@pytest.mark.parametrize(("status", "code"), list(_error_classes.ERROR_CLASSES))
def test_every_status_and_code_of_the_sdk_is_judged(status: int, code: str | None) -> None:
    assert type(of_code(status, code)) is expected(status, code)


def test_all_codes_that_may_mean_more_than_their_status_are_judged() -> None:
    """A new 402, 429 or 5xx code may stop the bill or be permanent: it must be entered above."""
    telling = {key for key in _error_classes.ERROR_CLASSES if key[0] in (402, 429) or key[0] >= 500}
    assert telling <= set(JUDGED)


def test_transient_errors_are_retried_and_no_error_is_billed() -> None:
    for status, code in _error_classes.ERROR_CLASSES:
        error = of_code(status, code)
        assert error.retryable is isinstance(error, errors.Transient)
        assert error.billing is Billing.NONE, status


def test_every_error_type_of_a_stream_is_mapped() -> None:
    assert set(get_args(ErrorType)) <= set(failures.BY_TYPE)


def exceptions_of(*modules: Any) -> Iterator[type[Exception]]:
    for module in modules:
        for found in vars(module).values():
            if not inspect.isclass(found) or issubclass(found, Warning):
                continue
            if issubclass(found, Exception):
                yield found


SDK_KINDS = {
    anthropic.APIResponseValidationError: AnswerGarbled,
    anthropic.CredentialsError: AccessDenied,
    anthropic.AnthropicError: RequestRejected,
}


@pytest.mark.parametrize("kind", sorted(set(exceptions_of(anthropic, _exceptions)), key=str))
def test_every_exception_class_of_the_sdk_is_mapped(kind: type[Exception]) -> None:
    if issubclass(kind, anthropic.APIStatusError):
        return  # by status and code, above
    error = _sdk_failure(kind.__new__(kind), {})
    nearest = next((SDK_KINDS[base] for base in kind.__mro__ if base in SDK_KINDS), None)
    assert nearest is not None
    assert type(error) is nearest


HTTPX_KINDS = {
    "ConnectTimeout": ProviderTimeout,
    "ReadTimeout": ProviderTimeout,
    "WriteTimeout": ProviderTimeout,
    "TimeoutException": ProviderTimeout,
    "PoolTimeout": ConnectionFailed,
    "NetworkError": ConnectionFailed,
    "ReadError": ConnectionFailed,
    "WriteError": ConnectionFailed,
    "ConnectError": ConnectionFailed,
    "CloseError": ConnectionFailed,
    "ProxyError": ConnectionFailed,
    "RemoteProtocolError": ConnectionFailed,
    "HTTPError": ConnectionFailed,
    "RequestError": ConnectionFailed,
    "TransportError": ConnectionFailed,
    "DecodingError": RequestRejected,  # garbled once something was received
    "SSEError": RequestRejected,
    "UnsupportedProtocol": RequestRejected,
    "ProtocolError": RequestRejected,
    "LocalProtocolError": RequestRejected,
    "TooManyRedirects": RequestRejected,
    "HTTPStatusError": RequestRejected,
    "InvalidURL": RequestRejected,
    "CookieConflict": RequestRejected,
    "StreamError": RequestRejected,
    "StreamConsumed": RequestRejected,
    "StreamClosed": RequestRejected,
    "ResponseNotRead": RequestRejected,
    "RequestNotRead": RequestRejected,
}


@pytest.mark.parametrize("kind", sorted(set(exceptions_of(httpx2)), key=str))
def test_every_exception_of_the_transport_is_mapped(kind: type[Exception]) -> None:
    if kind.__name__.startswith("WebSocket"):
        return  # a protocol we do not speak
    error = failures.from_exception(kind.__new__(kind), received=False, facts={})
    assert type(error) is HTTPX_KINDS[kind.__name__]


@pytest.mark.parametrize("kind", sorted(set(exceptions_of(httpcore2)), key=str))
def test_every_exception_of_the_connection_layer_becomes_a_public_one(
    kind: type[Exception],
) -> None:
    if kind is httpcore2.ConnectionNotAvailable:
        return  # the pool's own, it never leaves it
    assert transport.FAILURES[kind].__name__ == kind.__name__


def test_a_lost_connection_is_an_incomplete_answer_once_something_came() -> None:
    lost = failures.from_exception(httpx2.ReadError("reset"), received=True, facts={})
    assert type(lost) is errors.AnswerIncomplete
    garbled = failures.from_exception(httpx2.DecodingError("x"), received=True, facts={})
    assert type(garbled) is AnswerGarbled


def test_an_exception_in_no_table_is_not_hidden() -> None:
    assert failures.from_exception(MemoryError(), received=True, facts={}) is None


def test_an_error_of_the_provider_counts_although_we_had_given_up() -> None:
    """The error proves that nothing is billed. Our abort alone does not."""
    answer = httpx2.Response(500, request=httpx2.Request("POST", "http://localhost"))
    error = _error_classes.make_status_error("m", body=None, response=answer)

    def create(**_: Any) -> None:
        raise error

    call = Call()
    call.sent = call.aborted = True
    sdk: Any = SimpleNamespace(messages=SimpleNamespace(create=create))
    with pytest.raises(ProviderFault) as caught:
        _Attempt(call, a_request(), Cancel(), None).run(sdk)
    assert caught.value.billing is Billing.NONE


def test_the_sdk_makes_one_attempt_only() -> None:
    with serving(lambda exchange: exchange.reply({}, status=529)) as server:
        client = AnthropicClient(api_key="sk-test", base_url=server.url)
        with pytest.raises(Overloaded):
            client.complete(a_request(), cancel=Cancel())
        client.close()
    assert len(server.requests) == 1
    assert server.requests[0].headers["x-stainless-retry-count"] == "0"
