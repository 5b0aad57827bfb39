"""Validation of answers against the feature's output model, independent of the provider."""

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
"""Most problems shown to a model. More would cost more than they help."""


class OutputInvalidError(ValueError):
    """The answer does not fit the feature's output model. `problems` do not quote the answer."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class OutputUncheckableError(Exception):
    """The output model raised an unexpected error. A retry would fail again, at the same cost."""


def validate(feature: Feature, text: str) -> dict[str, Any]:
    """Return the answer as JSON values that fit the output model.

    Raises:
        OutputInvalidError: the answer is not JSON, or does not fit.
        OutputUncheckableError: the output model raised another error.
    """
    try:
        return _validated(feature, text)
    except OutputInvalidError:
        raise
    except Exception:
        logger.exception("feature %s: its output model failed on an answer", feature.slug)
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
    # JSON parsers read 1e400 as infinity, which neither PostgreSQL nor clients accept.
    if odd := json_values.problem(result):
        raise OutputInvalidError([f"{'.'.join(map(str, odd.path)) or 'answer'}: {odd.message}"])
    return result


def repair_turns(bad_answer: str, error: OutputInvalidError) -> tuple[Message, Message]:
    """Return the turns that show the model its answer and the problems."""
    problems = "\n".join(f"- {problem}" for problem in error.problems)
    request = (
        f"That answer does not fit the required format:\n{problems}\n"
        "Give the whole answer again, as JSON that fits the format."
    )
    return (
        Message("assistant", (TextBlock(bad_answer),)),
        Message("user", (TextBlock(request),)),
    )
