"""Alerts about unreadable answers and impossible usage.

Neither opens a circuit breaker: a wrong address, or a gateway that reports no usage, is no fault of
a model. Without an alert, such calls would only fill the budget.
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
"""Time after the last such answer at which the alert is closed."""


def note(model: str, answer: InferenceResult | InferenceError) -> None:
    """Open an alert, or keep it open, if this answer is odd. A failure does not affect the job."""
    problem = answer.usage_problem
    if isinstance(answer, AnswerGarbled):
        _begin(
            GARBLED,
            model,
            f"The provider's answer to a call of {model} cannot be read ({answer.detail}). Such"
            " jobs fail after one call, which is counted at its bound. Check ANTHROPIC_BASE_URL and"
            " any proxy on the way to the provider.",
        )
    elif problem:
        _begin(
            UNSEEN,
            model,
            f"The usage that was reported for a call of {model} cannot be right: {problem}. Such"
            " calls are counted at their bound, and no user is charged. Check the gateway on the"
            " way to the provider, then settle the calls.",
        )


def end_old() -> None:
    """Close the alerts without a new answer for OVER_AFTER."""
    Alert.objects.filter(
        kind__in=(GARBLED, UNSEEN), closed_at=None, seen_at__lt=Now() - OVER_AFTER
    ).update(closed_at=Now())


def _begin(kind: str, model: str, summary: str) -> None:
    try:
        alerts.begin(kind, model, summary)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("alert %s (%s) not written: %s", kind, model, brief(error))
