"""The checks of an answer: schema, the feature's own check, guards, moderation, approval."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aifeature.models.transitions import Claimed, Settlement
from aifeature.reasons import FailureCode, WaitReason
from aifeature.services.execution import moderation, output
from aifeature.services.execution.hooks import FeatureBrokenError
from aifeature.services.execution.moderation import Caller
from aifeature.services.execution.outcomes import (
    Accepted,
    AwaitsApproval,
    Failed,
    Outcome,
    Requeue,
    Withheld,
)
from aifeature.services.execution.output import OutputInvalidError
from aifeature.services.functions import FunctionPool
from aifeature.services.functions.errors import FunctionsAwayError
from aifeature.services.guards.outputs import AnswerGuards
from aifeature.spec import Feature

logger = logging.getLogger(__name__)

RETRY_DEFECT_S: Final = 5.0
"""Seconds until a job is retried after an unexpected exception."""


class _UnsafeError(Exception):
    """The answer must not be shown."""


@dataclass(frozen=True, slots=True)
class Checks:
    """The checks of the answers of one run."""

    claimed: Claimed
    feature: Feature
    functions: FunctionPool
    guard: AnswerGuards
    call_moderator: Caller
    store: Callable[[Settlement], None]
    """Stores the end of a call after which the job goes on."""

    def outcome(self, text: str, settlement: Settlement) -> Outcome:
        """Return the outcome of an answer, whose call ended with `settlement`.

        Raises:
            OutputInvalidError: it cannot be shown, and the model may give another one.
            ModerationFailedError, and the errors of `calls.make`: it could not be moderated.
        """
        try:
            result = self._shown(text)
            reason = output.why_a_person_decides(
                self.functions, self.feature, self.claimed.input, text
            )
        except _UnsafeError:
            return Withheld(self.feature.guards.fallback, settlement)
        except FeatureBrokenError:
            return Failed(FailureCode.FEATURE_BROKEN, settlement)
        except FunctionsAwayError as error:
            logger.warning("job %s: answer not checked, trying again: %s", self.claimed.job, error)
            why = WaitReason.INTERNAL_ERROR
            return Requeue(RETRY_DEFECT_S, counts_as_try=True, reason=why, settlement=settlement)
        if not reason or not self.claimed.is_of_user:
            return Accepted(result, settlement)
        expires_s = self.feature.limits.approval_expires_s
        return AwaitsApproval(result, reason, expires_s, settlement)

    def _shown(self, text: str) -> dict[str, Any]:
        """Return the answer as users may see it. Raises _UnsafeError if they may not."""
        self._must_be_safe()
        result = output.validate(self.functions, self.feature, self.claimed.input, text)
        if problem := self.guard.problem(result):
            raise OutputInvalidError([problem.sentence], problem.code)
        if moderation.is_due(self.feature, tightened=self.guard.tightened):
            found = moderation.verdict(
                result,
                self.feature,
                functions=self.functions,
                call=self.call_moderator,
                store=self.store,
            )
            if found is not None:
                self.guard.withhold(found)
        self._must_be_safe()
        return result

    def _must_be_safe(self) -> None:
        if self.guard.is_unsafe():
            raise _UnsafeError
