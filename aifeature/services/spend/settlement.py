"""Settlement of an estimated or unknown call, once a person has found its real cost."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from decimal import Decimal
from uuid import UUID

from aifeature.models import Attempt, transitions
from aifeature.money import MICRO_PER_USD

logger = logging.getLogger(__name__)


class NotUnknownError(Exception):
    """The call is neither estimated nor unknown. The text is for the operator."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens billed by the provider. None keeps the stored number."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None


NOT_LOOKED_UP = Tokens()


def settle_unknown(
    *,
    attempt_id: UUID,
    cost_usd: Decimal,
    reason: str,
    user_id: int | None,
    tokens: Tokens = NOT_LOOKED_UP,
) -> Attempt:
    """Replace the counted cost of a call by its real cost, in its row and its day's windows.

    The user is not charged. A cost above the counted bound or ceiling is stored in full and logged
    as an error, since that bound or ceiling was wrong.

    Args:
        attempt_id: The call.
        cost_usd: US dollars, to the micro-dollar; 0 if nothing was billed.
        reason: Source of the cost; never empty.
        user_id: The operator; None for a command.
        tokens: The billed tokens, if known.

    Raises:
        ValueError: The reason is empty, or the cost is negative or not in whole micro-dollars.
        NotUnknownError: The call is not estimated or unknown. Nothing was changed.
        Attempt.DoesNotExist: The call does not exist.
    """
    micro = cost_usd * MICRO_PER_USD
    if not reason.strip() or micro < 0 or micro != int(micro):
        raise ValueError("a settlement needs a reason and a cost in whole micro-dollars, from 0 on")
    counts = {name: count for name, count in asdict(tokens).items() if count is not None}
    figures = {"cost_micro": int(micro), **counts}
    counted = Attempt.objects.get(pk=attempt_id).spend_micro
    done = transitions.settle_unknown(attempt_id, user_id=user_id, reason=reason, figures=figures)
    attempt = Attempt.objects.select_related("settled_by").get(pk=attempt_id)
    if not done:
        raise NotUnknownError(_why_not(attempt))
    if attempt.cost_micro > counted:
        logger.error(
            "attempt %s: settled at %d micro-dollars, above the counted maximum of %d. Check how"
            " workers/inference/pricing.py and gateway.py bound a call of %s: other bounds may be"
            " too low as well.",
            *(attempt.pk, attempt.cost_micro, counted, attempt.model),
        )
    return attempt


def _why_not(attempt: Attempt) -> str:
    if attempt.settled_at is None:
        return f"This call is {attempt.state}: only an estimated or unknown one is settled by hand."
    author = attempt.settled_by.get_username() if attempt.settled_by else "A command"
    return (
        f"{author} settled this call before, at {attempt.settled_at:%Y-%m-%d %H:%M:%S} UTC:"
        f" {attempt.settled_reason}"
    )
