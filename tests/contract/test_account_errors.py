"""An error answer may concern the whole account: by status, type and code, rarely by message.

Messages quote text of users, so a message counts only where the provider sends nothing else.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.sdk_errors import mapped
from workers.inference import failures
from workers.inference.errors import RequestRejected

ACCOUNT_TYPES = ("authentication_error", "billing_error")
PHRASES = failures.ACCOUNT_MESSAGES


def answer(kind: object, message: object) -> dict[str, object]:
    return {"type": "error", "error": {"type": kind, "message": message}}


@pytest.mark.parametrize(
    "message",
    [
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
        "You have reached your specified API usage limits. You will regain access on 2026-12-01.",
    ],
)
def test_a_400_whose_message_begins_as_that_of_a_bill_may_be_the_accounts(message: str) -> None:
    assert mapped(400, answer("invalid_request_error", message)).account_wide


@given(quoted=st.text(max_size=200), phrase=st.sampled_from(PHRASES), after=st.text(max_size=50))
def test_a_message_that_quotes_such_a_phrase_is_the_requests(
    quoted: str, phrase: str, after: str
) -> None:
    message = f"messages.0.content: {quoted}{phrase}{after}"
    error = mapped(400, answer("invalid_request_error", message))
    assert type(error) is RequestRejected


@given(
    status=st.sampled_from([400, 404, 405, 409, 413, 422]),
    kind=st.sampled_from(
        ["not_found_error", "request_too_large", "conflict_error", "new", None, 7]
    ),
    phrase=st.sampled_from(PHRASES),
)
def test_the_phrase_counts_for_no_other_status_or_type(
    status: int, kind: object, phrase: str
) -> None:
    assert not mapped(status, answer(kind, phrase)).account_wide


@given(
    body=st.one_of(
        st.none(), st.text(), st.lists(st.text()), st.sampled_from(PHRASES),
        st.dictionaries(st.sampled_from(["type", "error", "message"]), st.sampled_from(PHRASES)),
        st.builds(answer, st.none() | st.integers() | st.text(), st.none() | st.lists(st.text())),
    )
)  # fmt: skip
def test_a_400_in_any_other_form_is_the_requests(body: object) -> None:
    error = mapped(400, body)
    known = isinstance(body, dict) and isinstance(body.get("error"), dict)
    kind = body["error"]["type"] if known else None  # type: ignore[index]
    assert error.account_wide is (kind in ACCOUNT_TYPES)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 429])
@pytest.mark.parametrize("kind", ACCOUNT_TYPES)
def test_the_type_decides_with_any_status(status: int, kind: str) -> None:
    assert mapped(status, answer(kind, "m")).account_wide


@pytest.mark.parametrize("status", [401, 402, 403])
def test_without_a_body_the_status_decides(status: int) -> None:
    assert mapped(status, "<html>Forbidden</html>").account_wide


@pytest.mark.parametrize("kind", ["billing_error", "authentication_error", "permission_error"])
def test_an_error_in_a_stream_is_judged_alike(kind: str) -> None:
    data = f'{{"type": "error", "error": {{"type": "{kind}", "message": "m"}}}}'
    assert failures.from_event(data, begun=False, facts={}).account_wide


def test_no_header_makes_an_account_error_retryable() -> None:
    error = failures.from_status(
        401,
        headers={"x-should-retry": "true"},
        error_type="authentication_error",
        error_code=None,
        from_provider=True,
        facts={},
    )
    assert not error.retryable
