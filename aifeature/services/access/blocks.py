"""Blocks of users from features. Each change writes a row of the audit log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from django.db import transaction

from aifeature.models import AccessBlock, ControlChange
from aifeature.services import controls

FIELD: Final = "access_block"
"""`ControlChange.field` of a block."""

DEFAULT_MESSAGE: Final = (
    "Your access to this feature is blocked. Your earlier requests stay readable. If you think that"
    " this is a mistake, write to your administrator."
)
"""The sentence that the form of a new block begins with."""

_LIFTED: Final = "not blocked"


def save(block: AccessBlock, *, user_id: int) -> None:
    """Store a new or changed block. Its reason is copied to the audit log.

    It takes effect in this process immediately, in others with their next poll of the controls.

    Args:
        block: The block. An empty feature is every feature.
        user_id: The operator.

    Raises:
        ValueError: The reason is empty.
    """
    with transaction.atomic():
        before = AccessBlock.objects.select_for_update().filter(pk=block.pk).first()
        if before is None:
            block.created_by_id = user_id
        block.save()
        old = in_words(before) if before else ""
        _record(block, old, in_words(block), reason=block.reason, user_id=user_id)
    _forget()


def lift(block: AccessBlock, *, reason: str, user_id: int) -> None:
    """Delete a block. The audit log keeps its values.

    Raises:
        ValueError: The reason is empty.
    """
    with transaction.atomic():
        _record(block, in_words(block), _LIFTED, reason=reason, user_id=user_id)
        block.delete()
    _forget()


def notice(block: AccessBlock) -> str:
    """Return the sentence that the user reads, with the end of the block."""
    if block.expires_at is None:
        return block.message
    return f"{block.message} The block ends on {_moment(block.expires_at)}."


def in_words(block: AccessBlock) -> str:
    """Describe the block for the audit log, which names users by id only."""
    until = f"until {_moment(block.expires_at)}" if block.expires_at else "without end"
    how = "with a message" if block.message else "as if it did not exist"
    return f"#{block.user_id}: blocked {until}, {how}"


def _forget() -> None:
    """Clear the cache, also after an outer transaction: others may cache the old rows before."""
    controls.clear_cache()
    transaction.on_commit(controls.clear_cache)


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _record(block: AccessBlock, old: str, new: str, *, reason: str, user_id: int) -> None:
    if not reason.strip():
        raise ValueError("a block needs a reason")
    ControlChange.objects.create(
        feature=block.feature or controls.GLOBAL,
        field=FIELD,
        old=old,
        new=new,
        reason=reason,
        user_id=user_id,
    )
