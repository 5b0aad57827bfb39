"""The hot transitions of a job: claim, begin a call, finish, and other writes of its worker.

Each is one statement: one round trip and one transaction. The connection then returns to its pool,
so none is held during a provider call. The functions and their guarantees are in `aifeature/sql/`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from uuid import UUID

from aifeature.models.free_text import free_text
from aifeature.models.functions import as_json, rows
from aifeature.models.job import CancelledBy, Origin, Status
from aifeature.models.ledger import Attempt, AttemptState
from aifeature.spec import Purpose


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that this worker owns, as it was at the claim."""

    job: UUID
    epoch: int
    feature: str
    user_id: int
    input: Any
    tries: int
    """Earlier runs that count as tries."""
    attempts: int
    """Earlier provider calls."""
    seconds_left: float
    """Until the job's deadline, by the database's clock; negative after it."""
    cancel_requested: bool
    waited_for: str
    """The latest WaitReason; empty on the first run."""
    origin: str = Origin.USER
    options: Mapping[str, Any] = field(default_factory=dict)
    """See `Options`; empty for jobs of users."""

    @property
    def is_of_user(self) -> bool:
        """Whether it is the request of a user, who is charged."""
        return self.origin == Origin.USER


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """A provider call that is about to be sent."""

    id: UUID
    purpose: Purpose
    provider: str
    model: str
    prompt_version: str
    prompt_hash: str
    request: Mapping[str, Any]
    bound_micro: int
    reason: str = ""
    """Why this model is called; shown to operators."""


@dataclass(frozen=True, slots=True)
class Caps:
    """Spend caps for one call, and the concurrency limit; None is no cap."""

    user: int | None = None
    """Charges to the user in the feature, in micro-dollars per UTC day, as the next four."""
    user_spend: int | None = None
    """Own spend of the user in the feature, charged or not."""
    account: int | None = None
    """Own spend of the user in all features together."""
    feature: int | None = None
    everything: int | None = None
    month: int | None = None
    """Micro-dollars of everything per UTC month."""
    in_flight: int | None = None
    """Concurrent calls of the user in the feature."""

    def as_json(self, *, reason: str = "") -> str | None:
        """Return the caps of a call and why its model is called, for the SQL functions."""
        return as_json(
            {
                "user": self.user,
                "user_spend": self.user_spend,
                "account": self.account,
                "feature": self.feature,
                "global": self.everything,
                "month": self.month,
                "in_flight": self.in_flight,
                "reason": reason,
            }
        )


@dataclass(frozen=True, slots=True)
class Settlement:
    attempt: UUID
    state: AttemptState
    output: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_micro: int = 0
    cache_saved_micro: int = 0
    """Micro-dollars that the prompt cache saved; negative for a call that only wrote to it."""
    latency_ms: int | None = None
    ttft_ms: int | None = None
    stop_reason: str = ""
    request_id: str = ""
    error_code: str = ""
    error_detail: str = ""
    ended_by: str = ""
    """`user` if the user's own cancellation ended the call; it then counts as their own spend."""
    delivered_text: str = ""
    """Answer text that was shown to that user; stored with the job, and charged."""
    delivered_micro: int = 0
    """Micro-dollars to charge for the shown text; the charge never exceeds the call's spend."""


class AttemptRefusedError(Exception):
    """The call must not be sent. `verdict` is one of those listed at aif_begin_attempt."""

    text_is_ours = True

    def __init__(self, verdict: str) -> None:
        super().__init__(verdict)
        self.verdict, _, self.scope = verdict.partition(" ")


class FencedError(Exception):
    """This worker no longer owns the job. Nothing was written; stop immediately."""


_LARGEST = (2**31 - 1, 2**63 - 1)
_WIDTHS = {
    field.name: field.max_length
    for field in Attempt._meta.fields  # noqa: SLF001 (Django's documented API)
    if field.max_length is not None
}


_FROM_PROVIDER = frozenset({"stop_reason", "request_id"})
"""Texts that are truncated, since the provider decides their length. Codes of ours never are."""


_FIGURES = [field.name for field in fields(Settlement) if field.name != "attempt"]


def _flag(function: str, *arguments: Any) -> None:
    if not rows(function, *arguments)[0][0]:
        raise FencedError


def settled(settlement: Settlement | None, shown: str = "") -> tuple[UUID | None, str | None]:
    """Return the call's id and its figures, as arguments for the SQL functions.

    `shown` is text that an earlier call or run showed to the user. A job that the user cancelled
    keeps it, without a charge.
    """
    if settlement is None:
        return None, as_json({"delivered_text": shown}) if shown else None
    values = {name: _fitting(name, getattr(settlement, name)) for name in _FIGURES}
    if shown and not settlement.delivered_text:
        values |= {"delivered_text": shown, "delivered_micro": 0}
    return settlement.attempt, as_json(values)


def _fitting(name: str, value: Any) -> Any:
    """Return a value of the provider, limited to its column. Texts of ours are never truncated."""
    if isinstance(value, int):
        return min(value, _LARGEST[name.endswith("_micro")])
    limit = _WIDTHS.get(name)
    if not limit or not value or len(value) <= limit:
        return value
    if name not in _FROM_PROVIDER:
        raise ValueError(f"{name} '{value}' is longer than its column's {limit} characters")
    return value[:limit]


def claim(job: UUID, *, worker: str, lease_s: float) -> Claimed | None:
    """Claim a job that is due, or whose lease has expired and whose worker is gone, or return None.

    Raises:
        django.db.OperationalError: its row is locked, or the database is unavailable.
    """
    found = rows("aif_claim_run", job, worker, lease_s)
    if not found:
        return None
    row = list(found[0])
    row[3], row[-1] = json.loads(row[3]), json.loads(row[-1] or "{}")
    return Claimed(job, *row)


def begin_attempt(claimed: Claimed, attempt: NewAttempt, caps: Caps) -> None:
    """Write a call to the ledger and reserve its bound. Send it only if this returns.

    Raises:
        FencedError: this worker no longer owns the job.
        AttemptRefusedError: cancelled, deadline, paused, budget_spent, budget_held or user_busy.
    """
    verdict = rows(
        "aif_begin_attempt",
        *(claimed.job, claimed.epoch, attempt.id, attempt.purpose.value, attempt.provider),
        *(attempt.model, attempt.prompt_version, attempt.prompt_hash, as_json(attempt.request)),
        *(attempt.bound_micro, caps.as_json(reason=attempt.reason[: _WIDTHS["reason"]])),
    )[0][0]
    if verdict == "fenced":
        raise FencedError
    if verdict != "ok":
        raise AttemptRefusedError(verdict)


def settle(claimed: Claimed, settlement: Settlement) -> None:
    """Close a call whose job continues. Raises FencedError if this worker lost the job."""
    _flag("aif_settle", claimed.job, claimed.epoch, *settled(settlement))


def finish(
    claimed: Claimed,
    status: Status,
    *,
    result: Mapping[str, Any] | None = None,
    error_code: str = "",
    error_message: str = "",
    settlement: Settlement | None = None,
    shown: str = "",
) -> None:
    """End a job. With status succeeded, charge the settled call.

    See `settled` for `shown`.

    Raises:
        FencedError: this worker no longer owns the job.
    """
    _flag(
        "aif_finish",
        *(claimed.job, claimed.epoch, status.value, as_json(result), error_code, error_message),
        *settled(settlement, shown),
    )


def finish_plain(
    claimed: Claimed, result: Mapping[str, Any], *, settlement: Settlement | None
) -> None:
    """End a job with the plain answer of its feature. No call is charged.

    Raises:
        FencedError: this worker no longer owns the job.
    """
    attempt, values = settled(settlement)
    _flag("aif_finish_plain", claimed.job, claimed.epoch, as_json(result), attempt, values)


def await_approval(
    claimed: Claimed,
    result: Mapping[str, Any],
    *,
    reason: str,
    expires_s: float,
    settlement: Settlement | None,
) -> None:
    """Keep an answer until a person decides, `expires_s` seconds at most. No call is charged.

    A job with a cancellation request ends instead.

    Raises:
        FencedError: this worker no longer owns the job.
    """
    _flag(
        "aif_await_approval",
        *(claimed.job, claimed.epoch, as_json(result), reason, expires_s),
        *settled(settlement),
    )


def return_to_queue(
    claimed: Claimed,
    *,
    delay_s: float,
    counts_as_try: bool,
    reason: str = "",
    message: str = "",
    settlement: Settlement | None = None,
    shown: str = "",
) -> None:
    """Put a job back in the queue, due in `delay_s` seconds.

    With `counts_as_try`, this run counts towards the limit of tries. A job with a cancellation
    request ends instead; see `settled` for `shown`.

    Raises:
        FencedError: this worker no longer owns the job.
    """
    _flag(
        "aif_release",
        *(claimed.job, claimed.epoch, delay_s, counts_as_try, reason, message),
        *settled(settlement, shown),
    )


def settle_unknown(
    attempt: UUID, *, user_id: int | None, reason: str, figures: Mapping[str, int]
) -> bool:
    """Settle an unknown or estimated call. Return False, and change nothing, if it is neither.

    `figures` are its `cost_micro` and the token counts that are known.
    """
    found = rows("aif_settle_unknown", attempt, user_id, free_text(reason), as_json(figures))
    return bool(found[0][0])


def cancel(
    job: UUID, *, user_id: int, message: str, by: CancelledBy = CancelledBy.USER, shown: str = ""
) -> Status | None:
    """Cancel a user's job on behalf of `by`. `message` is shown to the user.

    A queued job keeps `shown`, the text that an interrupted run showed to its user.

    Returns its new status: `running` means that its worker will stop it. Returns None if the user
    has no such job.
    """
    status = rows("aif_cancel_shown", job, user_id, message, by.value, shown)[0][0]
    return Status(status) if status else None
