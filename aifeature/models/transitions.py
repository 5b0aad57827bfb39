"""The hot transitions of a job: claim, begin a call, finish, and what else its worker writes.

Each is one statement, so one round trip and one transaction, and afterwards the connection goes
back to its pool: nothing is held while a provider is at work. The functions stand in
`aifeature/sql/`, their promises with them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

from aifeature.models.functions import as_json, rows
from aifeature.models.job import CancelledBy, Status
from aifeature.models.ledger import Attempt, AttemptState
from aifeature.spec import Purpose


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that is now this worker's, as it stood at the claim."""

    job: UUID
    epoch: int
    feature: str
    user_id: int
    input: Any
    tries: int
    """Runs before this one that ended badly."""
    attempts: int
    """Provider calls made before."""
    seconds_left: float
    """Until the job's deadline, by the database's clock; negative when it has passed."""
    cancel_requested: bool
    waited_for: str
    """The WaitReason that sent it back to the queue last; empty on the first run."""


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


@dataclass(frozen=True, slots=True)
class Caps:
    """What one call must fit in; None is no cap."""

    user: int | None = None
    """What the user may be charged for the feature: micro-dollars per UTC day, as the next four."""
    user_spend: int | None = None
    """What the user may spend in the feature, charged or not."""
    account: int | None = None
    """What the user may spend in all features together."""
    feature: int | None = None
    everything: int | None = None
    month: int | None = None
    """Micro-dollars of everything per UTC month."""
    in_flight: int | None = None
    """Calls of the user and feature at the same time."""

    def as_json(self) -> str | None:
        """As the SQL functions take them."""
        return as_json(
            {
                "user": self.user,
                "user_spend": self.user_spend,
                "account": self.account,
                "feature": self.feature,
                "global": self.everything,
                "month": self.month,
                "in_flight": self.in_flight,
            }
        )


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a provider call ended."""

    attempt: UUID
    state: AttemptState
    output: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_micro: int = 0
    latency_ms: int | None = None
    ttft_ms: int | None = None
    stop_reason: str = ""
    request_id: str = ""
    error_code: str = ""
    error_detail: str = ""
    ended_by: str = ""
    """`user` when the user's own cancellation ended the call: then it counts as their own spend."""
    delivered_text: str = ""
    """What that user had been shown of the answer; kept with the job, and charged."""
    delivered_micro: int = 0
    """Micro-dollars the shown text is worth; the charge is never more than the call's spend."""


class AttemptRefusedError(Exception):
    """The database let no call be sent. `verdict` is one of aif_begin_attempt's words."""

    text_is_ours = True

    def __init__(self, verdict: str) -> None:
        super().__init__(verdict)
        self.verdict, _, self.scope = verdict.partition(" ")


class FencedError(Exception):
    """The job is no longer this worker's. Stop at once; nothing was written."""


_LARGEST = (2**31 - 1, 2**63 - 1)
_WIDTHS = {
    field.name: field.max_length
    for field in Attempt._meta.fields  # noqa: SLF001 (Django's documented API)
    if field.max_length is not None
}


_FROM_PROVIDER = frozenset({"stop_reason", "request_id"})
"""Texts whose length is the provider's choice. A cut word of our own would be another word."""


_FIGURES = [field.name for field in fields(Settlement) if field.name != "attempt"]


def _flag(function: str, *arguments: Any) -> None:
    if not rows(function, *arguments)[0][0]:
        raise FencedError


def settled(settlement: Settlement | None, shown: str = "") -> tuple[UUID | None, str | None]:
    """The call it is of and its figures, as the SQL functions take them.

    `shown` is text that the user had been shown by an earlier call or run: a job that they have
    cancelled keeps it, and they are not charged for it.
    """
    if settlement is None:
        return None, as_json({"delivered_text": shown}) if shown else None
    values = {name: _fitting(name, getattr(settlement, name)) for name in _FIGURES}
    if shown and not settlement.delivered_text:
        values |= {"delivered_text": shown, "delivered_micro": 0}
    return settlement.attempt, as_json(values)


def _fitting(name: str, value: Any) -> Any:
    """What the provider sent, cut to what its column holds; what is ours is never cut."""
    if isinstance(value, int):
        return min(value, _LARGEST[name.endswith("_micro")])
    limit = _WIDTHS.get(name)
    if not limit or not value or len(value) <= limit:
        return value
    if name not in _FROM_PROVIDER:
        raise ValueError(f"{name} '{value}' is longer than its column's {limit} characters")
    return value[:limit]


def claim(job: UUID, *, worker: str, lease_s: float) -> Claimed | None:
    """Take a job that is due, or whose lease ran out and whose worker is gone.

    None: it is not ours to run.

    Raises:
        django.db.OperationalError: its row is locked, or the database is away.
    """
    found = rows("aif_claim", job, worker, lease_s)
    if not found:
        return None
    epoch, feature, user_id, raw, *rest = found[0]
    return Claimed(job, epoch, feature, user_id, json.loads(raw), *rest)


def begin_attempt(claimed: Claimed, attempt: NewAttempt, caps: Caps) -> None:
    """Enter a call into the ledger and reserve its bound. Send it only if this returns.

    Raises:
        FencedError: the job is no longer ours.
        AttemptRefusedError: cancelled, deadline, paused, budget_spent, budget_held or user_busy.
    """
    verdict = rows(
        "aif_begin_attempt",
        *(claimed.job, claimed.epoch, attempt.id, attempt.purpose.value, attempt.provider),
        *(attempt.model, attempt.prompt_version, attempt.prompt_hash, as_json(attempt.request)),
        *(attempt.bound_micro, caps.as_json()),
    )[0][0]
    if verdict == "fenced":
        raise FencedError
    if verdict != "ok":
        raise AttemptRefusedError(verdict)


def settle(claimed: Claimed, settlement: Settlement) -> None:
    """Close a call whose job goes on.

    Raises:
        FencedError: the job is no longer ours.
    """
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
    """End a job; with status succeeded or needs_approval the settled call is charged.

    See `settled` for `shown`.

    Raises:
        FencedError: the job is no longer ours.
    """
    _flag(
        "aif_finish",
        *(claimed.job, claimed.epoch, status.value, as_json(result), error_code, error_message),
        *settled(settlement, shown),
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

    With `counts_as_try` this run counts towards the cap of tries.

    One that was to be cancelled ends instead; see `settled` for `shown`.

    Raises:
        FencedError: the job is no longer ours.
    """
    _flag(
        "aif_release",
        *(claimed.job, claimed.epoch, delay_s, counts_as_try, reason, message),
        *settled(settlement, shown),
    )


def settle_unknown(
    attempt: UUID, *, user_id: int | None, reason: str, figures: Mapping[str, int]
) -> bool:
    """Settle an unknown or estimated call.

    `figures` are its `cost_micro` and those counts of tokens that are known.
    Returns False when it is, or has become, neither; then nothing has changed.
    """
    found = rows("aif_settle_unknown", attempt, user_id, reason, as_json(figures))
    return bool(found[0][0])


def cancel(
    job: UUID, *, user_id: int, message: str, by: CancelledBy = CancelledBy.USER, shown: str = ""
) -> Status | None:
    """Cancel a user's job for `by`; `message` is what the user reads.

    A job that waits keeps `shown`, the text that an interrupted run had shown to its user.

    Returns its status now: `running` means its worker was asked to stop. None when the user has
    no such job.
    """
    status = rows("aif_cancel_shown", job, user_id, message, by.value, shown)[0][0]
    return Status(status) if status else None
