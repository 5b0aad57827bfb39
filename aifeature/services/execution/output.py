"""Is the answer what the feature promised? Checked here, whatever the provider guarantees."""

from __future__ import annotations

import logging
from typing import Any

from pydantic import ValidationError

from aifeature.models.storable import storable_json
from aifeature.services.payloads import json_values
from aifeature.spec import Feature
from workers.inference import Message, TextBlock

logger = logging.getLogger(__name__)

MAX_PROBLEMS = 10
"""How many problems a model is shown; more would cost more than they help."""


class OutputInvalidError(ValueError):
    """The answer does not fit the feature's output model. `problems` echo no text of it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class OutputUncheckableError(Exception):
    """The output model failed on an answer. The same answer would fail again, at the same cost."""


def validate(feature: Feature, text: str) -> dict[str, Any]:
    """The answer as JSON values that fit the output model.

    Raises:
        OutputInvalidError: it is not JSON, or does not fit.
        OutputUncheckableError: the code of the model failed on it.
    """
    try:
        return _validated(feature, text)
    except OutputInvalidError:
        raise
    except Exception:
        logger.exception("feature %s: its output model fails on an answer", feature.slug)
        raise OutputUncheckableError(feature.slug) from None


def _validated(feature: Feature, text: str) -> dict[str, Any]:
    try:
        answer = feature.output_model.model_validate_json(storable_json(text))
    except ValidationError as error:
        raise OutputInvalidError(
            [
                f"{'.'.join(map(str, problem['loc'])) or 'answer'}: {problem['msg']}"
                for problem in error.errors(include_input=False, include_url=False)[:MAX_PROBLEMS]
            ]
        ) from None
    result: dict[str, Any] = answer.model_dump(mode="json", by_alias=True)
    # JSON parsers read 1e400 as infinity, which neither PostgreSQL nor a client can take.
    if odd := json_values.problem(result):
        raise OutputInvalidError([f"{'.'.join(map(str, odd.path)) or 'answer'}: {odd.message}"])
    return result


def repair_turns(bad_answer: str, error: OutputInvalidError) -> tuple[Message, Message]:
    """The turns that show the model its answer and what is wrong with it."""
    problems = "\n".join(f"- {problem}" for problem in error.problems)
    request = (
        f"That answer does not fit the required format:\n{problems}\n"
        "Give the whole answer again, as JSON that fits the format."
    )
    return (
        Message("assistant", (TextBlock(bad_answer),)),
        Message("user", (TextBlock(request),)),
    )
