"""The provider's error answers: status, type, message, details."""

from __future__ import annotations

from typing import Any

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "conflict_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class Rejection(Exception):  # noqa: N818 - an answer, not a defect
    """The request is answered with an error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        error_code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.error_code = error_code
        """`details.error_code`; None sends no details."""
        self.retry_after_s = retry_after_s

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the JSON of the answer."""
        return error_body(
            TYPES[self.status], self.message, request_id=request_id, error_code=self.error_code
        )

    def headers(self) -> dict[str, str]:
        """Return `retry-after`, if there is one."""
        return {} if self.retry_after_s is None else {"retry-after": f"{self.retry_after_s:g}"}


def error_body(
    kind: str, message: str, *, request_id: str, error_code: str | None = None
) -> dict[str, Any]:
    """Return an error in the provider's form; also the data of an `error` event in a stream."""
    error: dict[str, Any] = {"type": kind, "message": message}
    if error_code is not None:
        error["details"] = {"error_code": error_code}
    return {"type": "error", "error": error, "request_id": request_id}
