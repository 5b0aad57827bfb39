"""Settles provider calls whose bill is not sure, once a person has found out what they cost."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from decimal import Decimal
from uuid import UUID

from aifeature.models import Attempt, transitions
from aifeature.money import MICRO_PER_USD

logger = logging.getLogger(__name__)


class NotUnknownError(Exception):
    """The bill of the call is, or has become, sure. Its text is a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the provider counts for the call; None leaves what is stored as it is."""

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
    """Replace what is counted for a call by what it really cost, in its row and its day's windows.

    Counted until then are the bound of an unknown call and the ceiling of an estimated one. The
    user is not charged, whatever it cost. A cost above what was counted is stored in full and
    logged as an error, for then a bound or a ceiling was wrong.

    Args:
        attempt_id: The call.
        cost_usd: US dollars, to the micro-dollar; 0 if nothing was billed.
        reason: How that was found out; never empty.
        user_id: Who found it out; None for a command.
        tokens: What was billed, if that is known.

    Raises:
        NotUnknownError: it was settled before, or its bill was known; nothing has changed.
        Attempt.DoesNotExist: there is no such call.
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
            "attempt %s: settled at %d micro-dollars, above the %d that were counted as its most."
            " See how workers/inference/pricing.py and gateway.py bound a call of %s: other calls"
            " may be bounded too low.",
            *(attempt.pk, attempt.cost_micro, counted, attempt.model),
        )
    return attempt


def _why_not(attempt: Attempt) -> str:
    if attempt.settled_at is None:
        return f"This call is {attempt.state}: only an estimated or unknown one is settled by hand."
    who = attempt.settled_by.get_username() if attempt.settled_by else "A command"
    return (
        f"{who} settled this call before, at {attempt.settled_at:%Y-%m-%d %H:%M:%S} UTC:"
        f" {attempt.settled_reason}"
    )
