"""Validation of answers against the feature's output model, independent of the provider."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from aifeature.models.free_text import free_text
from aifeature.models.storable import storable_json
from aifeature.reasons import FailureCode
from aifeature.services.execution import hooks
from aifeature.services.execution.hooks import FeatureBrokenError
from aifeature.services.functions import FunctionPool
from aifeature.services.functions.errors import FunctionsAwayError
from aifeature.services.functions.function import MAX_PROBLEMS
from aifeature.services.payloads import json_values
from aifeature.spec import Feature
from workers.inference import Message, TextBlock

MAX_REASON = 200
"""Most characters of a reason for approval: the size of its column."""


class OutputInvalidError(ValueError):
    """The answer cannot be shown, and the model may give another. `problems` do not quote it."""

    def __init__(self, problems: list[str], code: FailureCode = FailureCode.OUTPUT_INVALID) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
        self.code = code
        """How the job fails if no answer is better."""


def validate(functions: FunctionPool, feature: Feature, given: Any, text: str) -> dict[str, Any]:
    """Return the answer to the input `given` as JSON values that fit the output model.

    Raises:
        OutputInvalidError: the answer is not JSON, does not fit, or fails the feature's own check.
        FeatureBrokenError: the output model or the check raised another error, or the check hangs.
            A retry would fail again, at the same cost.
        FunctionsAwayError: no process can run the check.
    """
    with hooks.guarded(feature, "output_model", OutputInvalidError):
        answer = _parsed(feature.output_model, text)
    if feature.check is not None:
        problems = hooks.call(functions, feature, "check", given, storable_json(text))
        if problems:
            raise OutputInvalidError(problems)
    return _values(answer)


def _parsed(model: type[BaseModel], text: str) -> BaseModel:
    try:
        return model.model_validate_json(storable_json(text))
    except ValidationError as error:
        raise OutputInvalidError(
            [
                f"{'.'.join(map(str, problem['loc'])) or 'answer'}: {problem['msg']}"
                for problem in error.errors(include_input=False, include_url=False)[:MAX_PROBLEMS]
            ]
        ) from None


def _values(answer: BaseModel) -> dict[str, Any]:
    """Return an output as JSON values. Raises OutputInvalidError if PostgreSQL refuses one."""
    result: dict[str, Any] = answer.model_dump(mode="json", by_alias=True)
    # JSON parsers read 1e400 as infinity, which neither PostgreSQL nor clients accept.
    if odd := json_values.problem(result):
        raise OutputInvalidError([f"{'.'.join(map(str, odd.path)) or 'answer'}: {odd.message}"])
    return result


def why_a_person_decides(functions: FunctionPool, feature: Feature, given: Any, text: str) -> str:
    """Return why a person must decide about an answer that `validate` accepted; empty if none must.

    Raises FeatureBrokenError.
    """
    if feature.approval is None:
        return ""
    reason = hooks.call(functions, feature, "approval", given, storable_json(text))
    return free_text(str(reason))[:MAX_REASON]


def plain(functions: FunctionPool, feature: Feature, given: Any) -> dict[str, Any] | None:
    """Return the feature's plain output for an input.

    Return None if the feature offers none, or if a person would have to decide about it.

    Raises FeatureBrokenError.
    """
    if feature.plain is None or not feature.offers_plain:
        return None
    text = hooks.call(functions, feature, "plain", given)
    with hooks.guarded(feature, "plain", FeatureBrokenError, FunctionsAwayError):
        result = validate(functions, feature, given, text)
    return None if why_a_person_decides(functions, feature, given, text) else result


def repair_turns(bad_answer: str, error: OutputInvalidError) -> tuple[Message, Message]:
    """Return the turns that show the model its answer and the problems."""
    problems = "\n".join(f"- {problem}" for problem in error.problems)
    request = (
        f"That answer cannot be used:\n{problems}\n"
        "Give the whole answer again, as JSON that fits the required format."
    )
    return (
        Message("assistant", (TextBlock(bad_answer),)),
        Message("user", (TextBlock(request),)),
    )
