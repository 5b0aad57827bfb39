"""Jobs in every state, and clients, for the tests of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from django.test import Client
from django.utils import timezone

from aifeature.models import TERMINAL, ApiToken, Job, Status

if TYPE_CHECKING:
    from django.contrib.auth.models import User

DOCUMENT = {"document": "The parcel was lost. We sent another one on Monday."}
JOB_FIELDS = {
    "id", "feature", "status", "created_at", "started_at", "finished_at",
    "result", "error", "partial_text", "degraded", "model", "prompt_version", "usage", "cost_usd",
    "attempts", "links", "approval_expires_at",
}  # fmt: skip


def bearer(user: User, *, raise_request_exception: bool = True) -> Client:
    """A client that sends the user's token and enforces CSRF, as a real server does."""
    _, text = ApiToken.issue(user_id=user.pk, name="test")
    return Client(
        enforce_csrf_checks=True,
        raise_request_exception=raise_request_exception,
        headers={"authorization": f"Bearer {text}"},
    )


def submit(client: Client, body: Any = None, **headers: str) -> Any:
    """POST a submission; `headers` in Python spelling."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(
        "/api/v1/features/summarize/jobs",
        {"input": DOCUMENT} if body is None else body,
        content_type="application/json",
        headers=names,
    )


def job(user: User, status: Status = Status.QUEUED, **values: Any) -> Job:
    """A job in this state, as if its life had led there."""
    now = timezone.now()
    if status in TERMINAL:
        values.setdefault("finished_at", now)
    if status is Status.RUNNING:
        values.setdefault("lease_until", now)
    row: Job = Job.objects.create(
        user=user,
        feature=values.pop("feature", "summarize"),
        status=status,
        input=DOCUMENT,
        deadline_at=now,
        **values,
    )
    row.refresh_from_db()
    return row


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """Check that the response is this problem, and return it."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    assert response["Cache-Control"] == "no-store"
    body: dict[str, Any] = response.json()
    ours = {"reference"} if status >= 500 else set()
    assert set(body) - {"errors"} == {"type", "title", "status", "detail", "code"} | ours
    assert (body["status"], body["code"]) == (status, code)
    assert body["detail"].endswith(".")
    return body


def nobody() -> UUID:
    """An id no job has."""
    return uuid4()
