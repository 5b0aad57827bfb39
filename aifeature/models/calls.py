"""Provider calls that belong to no job. The SQL functions are in `sql/calls.sql`."""

from __future__ import annotations

from uuid import UUID

from aifeature.models.functions import as_json, rows
from aifeature.models.transitions import AttemptRefusedError, Caps, NewAttempt, Settlement, settled


def begin(slug: str, attempt: NewAttempt, caps: Caps) -> None:
    """Write a call to the ledger and reserve its bound. Send it only if this returns.

    Raises:
        AttemptRefusedError: paused, budget_spent or budget_held.
    """
    verdict = rows(
        "aif_begin_call",
        *(slug, attempt.id, attempt.purpose.value, attempt.provider, attempt.model),
        *(attempt.prompt_version, attempt.prompt_hash, as_json(attempt.request)),
        *(attempt.bound_micro, caps.as_json()),
    )[0][0]
    if verdict != "ok":
        raise AttemptRefusedError(verdict)


def settle(settlement: Settlement) -> bool:
    """Close a call. Return False if it was already closed as lost."""
    attempt, values = settled(settlement)
    return bool(rows("aif_settle_call", attempt, values)[0][0])


def close_lost(*, older_s: float) -> UUID | None:
    """Close one call of no job that is older than any call can be. Return its id, or None."""
    found = rows("aif_close_lost_call", older_s)
    return found[0][0] if found else None
