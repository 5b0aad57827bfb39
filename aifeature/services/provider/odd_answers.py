"""Alerts on-call about answers that cannot be read, or whose reported usage cannot be right.

No call of a job opens a circuit breaker by either: a wrong address or a gateway that reports no
usage says nothing of a model. Without an alert such calls would only fill the budget.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from django.db import DatabaseError, InterfaceError
from django.db.models.functions import Now

from aifeature.models import Alert
from aifeature.models.functions import brief
from aifeature.services.alerting import alerts
from workers.inference import AnswerGarbled, InferenceError, InferenceResult

logger = logging.getLogger(__name__)

GARBLED: Final = "answer_garbled"
UNSEEN: Final = "usage_unseen"

OVER_AFTER: Final = timedelta(minutes=5)
"""Without another such answer for as long, the alert ends."""


def note(model: str, answer: InferenceResult | InferenceError) -> None:
    """Open an alert if this answer is odd, or keep it open. The job goes on whatever becomes of it.

    Args:
        model: That was called.
        answer: What came of the call.
    """
    problem = answer.usage_problem
    if isinstance(answer, AnswerGarbled):
        _begin(
            GARBLED,
            model,
            f"The provider's answer to a call of {model} cannot be read ({answer.detail}). Such"
            " jobs fail after one call, which is counted at its bound. Check ANTHROPIC_BASE_URL and"
            " what stands between us and the provider.",
        )
    elif problem:
        _begin(
            UNSEEN,
            model,
            f"The usage that was reported for a call of {model} cannot be right: {problem}. Such"
            " calls are counted at their bound, and nobody is charged. Check the gateway on the"
            " way to the provider, then settle the calls.",
        )


def end_old() -> None:
    """End the alerts of which nothing was seen for a while."""
    Alert.objects.filter(
        kind__in=(GARBLED, UNSEEN), closed_at=None, seen_at__lt=Now() - OVER_AFTER
    ).update(closed_at=Now())


def _begin(kind: str, model: str, summary: str) -> None:
    try:
        alerts.begin(kind, model, summary)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("no alert %s of %s was written: %s", kind, model, brief(error))
