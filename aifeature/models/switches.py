"""Flips of a kill switch and their effect on jobs (`sql/switch.sql` and `sql/stopped.sql`)."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from aifeature.models.free_text import free_text
from aifeature.models.functions import rows


@dataclass(frozen=True, slots=True)
class WouldStop:
    running: int
    queued: int
    held_micro: int
    """Micro-dollars reserved for calls in flight."""


def stop(slug: str, *, mode: str, reason: str, user_id: int) -> bool:
    """Pull the switch of a feature, or of `_everything`, with its audit rows, in one statement.

    Returns False, and changes nothing, if it is already pulled.
    """
    return bool(rows("aif_switch_stop", slug, mode, free_text(reason), user_id)[0][0])


def change_reason(slug: str, *, mode: str, reason: str, user_id: int) -> bool:
    """Change the reason and mode of a pulled switch. Return False if it is not pulled."""
    return bool(rows("aif_switch_change_reason", slug, mode, free_text(reason), user_id)[0][0])


def release(slug: str, *, percent: int, reason: str, user_id: int) -> bool:
    """Release the switch for a share of the users. Return whether anything changed."""
    return bool(rows("aif_switch_release", slug, percent, free_text(reason), user_id)[0][0])


def would_stop(slug: str) -> WouldStop:
    """Return what pulling the switch of this feature, or of `_everything`, would stop now."""
    return WouldStop(*rows("aif_would_stop", slug)[0])


def cancel_stopped(*, limit: int, message: str) -> list[UUID]:
    """Cancel up to `limit` jobs of features stopped with `cancel`. Workers stop those that run."""
    return [row[0] for row in rows("aif_cancel_stopped", limit, message)]


def update_paused_messages(*, limit: int, message: str) -> int:
    """Set or clear the pause message of queued jobs. Return the number of changed jobs."""
    count: int = rows("aif_tell_paused", limit, message)[0][0]
    return count
