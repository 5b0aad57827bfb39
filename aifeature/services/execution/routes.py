"""The route of a job, and the properties of the job that decide it."""

from __future__ import annotations

from django.db import connection
from pydantic import BaseModel

from aifeature import prompts
from aifeature.models.transitions import Claimed
from aifeature.policies import routing
from aifeature.policies.routing import Choice, Facts
from aifeature.prompts import Prompt
from aifeature.services import controls
from aifeature.services.payloads import language
from aifeature.spec import Feature


def choose(
    feature: Feature, prompt: Prompt, claimed: Claimed, value: BaseModel, message: str
) -> Choice:
    """Return the route of a job with this input and prompt, whose user turn is `message`."""
    return routing.choose(
        prompts.routes(feature, prompt),
        Facts(
            prompt_bytes=len(message.encode()),
            stage=controls.stage(feature),
            language=lambda: language.of(value),
            budget_share=lambda: (
                _budget_share(feature, claimed.user_id) if claimed.is_of_user else 1.0
            ),
        ),
    )


def _budget_share(feature: Feature, user_id: int) -> float:
    """Return the share of the user's charge cap for the day that is neither spent nor held."""
    cap = controls.caps(feature).user
    if cap is None:
        return 1.0
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT coalesce(sum(w.spent_micro + w.held_micro), 0)::bigint
              FROM aifeature_spendwindow w
             WHERE w.scope = 'user' AND w.key = %s
               AND w.day = (statement_timestamp() AT TIME ZONE 'UTC')::date""",
            [f"{feature.slug}:{user_id}"],
        )
        (taken,) = cursor.fetchone()
    return max(0.0, 1 - taken / cap) if cap else 0.0
