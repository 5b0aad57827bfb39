"""The one path of a job through a worker. It reads from top to bottom."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass
from uuid import UUID, uuid4

from django.conf import settings
from django.db import InterfaceError, OperationalError
from pydantic import ValidationError

from aifeature import prompts, registry
from aifeature.models import transitions
from aifeature.models.transitions import AttemptRefusedError, Claimed, FencedError, Settlement
from aifeature.prompts import Prompt
from aifeature.services import control, lease, ledger, outcomes, output
from aifeature.services.messages import FAILED_AFTER_WAITING
from aifeature.services.outcomes import Accepted, CancelledByUser, Failed, Later, Outcome
from aifeature.services.output import OutputInvalidError
from aifeature.services.streams import writer
from aifeature.services.streams.writer import JobStream
from aifeature.services.wiring import gateway
from aifeature.spec import Feature, Purpose
from workers import retry
from workers.inference import (
    Cancel,
    Cancelled,
    InferenceError,
    InferenceRequest,
    InferenceResult,
    Message,
    TextBlock,
)
from workers.retry_budget import RetryBudget

logger = logging.getLogger(__name__)

HOLD_S = 2.0
"""Seconds until a job is looked at again that a switch or other jobs' reservations hold up."""


RETRY_OUTAGE_S = 1.0
"""Seconds until a job is run again that the database's outage interrupted, once it is back."""

RETRY_DEFECT_S = 5.0
"""Seconds until a job is run again whose run ended in an exception nobody foresaw."""

retries = RetryBudget()
"""Of this process."""


def run_feature(job_id: UUID, *, worker: str) -> None:
    """Run a job if it is ours to run: claim it, execute it, write how it ended.

    A job that is not due, has ended or is another's is left alone; so delivering an id twice, or
    for a job that is gone, does no harm.
    """
    claimed = transitions.claim(job_id, worker=worker, lease_s=settings.AIFEATURE["LEASE_S"])
    if claimed is None:
        logger.info("job %s: nothing to do", job_id)
        return
    cancel = Cancel()
    try:
        with lease.keeper.hold(claimed, cancel):
            outcome = _execute_or_later(claimed, cancel)
            outcomes.record(claimed, outcome, for_s=settings.AIFEATURE["LEASE_S"])
    except FencedError:
        logger.warning("job %s: epoch %d was taken over; stopped", job_id, claimed.epoch)
    else:
        logger.info("job %s: %s", job_id, _brief(outcome))


def _execute_or_later(claimed: Claimed, cancel: Cancel) -> Outcome:
    """Neither an outage nor a defect of ours leaves a job to its lease or runs it for ever."""
    try:
        return _execute(claimed, cancel)
    except FencedError:
        raise
    except (OperationalError, InterfaceError) as error:
        logger.warning("job %s: the database went away before its call: %s", claimed.job, error)
        return Later(RETRY_OUTAGE_S, burn=False, code="interrupted")
    except Exception:
        logger.exception("job %s: a defect; it is run again until it counts as poison", claimed.job)
        return Later(RETRY_DEFECT_S, burn=True, code="internal_error")


def _execute(claimed: Claimed, cancel: Cancel) -> Outcome:
    try:
        feature = registry.get(claimed.feature)
    except registry.UnknownFeatureError:
        return Failed("feature_removed")
    if ended := _ended_before_it_began(claimed, feature):
        return ended

    try:
        value = feature.input_model.model_validate(claimed.input)
    except ValidationError:  # accepted by an earlier release of the feature
        return Failed("input_invalid")
    prompt = prompts.get(feature.slug, control.prompt_version(feature))
    question = prompt.render({k: str(v) for k, v in value.model_dump(mode="json").items()})
    route = feature.route(len(question.encode()))

    withdrawal = None
    if claimed.last_error != "provider_waiting":
        retries.deposit()
    elif (withdrawal := retries.withdraw()) is None:
        return _decided(
            retry.defer(seconds_left=claimed.seconds_left, jitter=_jitter()), settlement=None
        )
    started = time.monotonic()
    with writer.process().open(claimed.job, claimed.epoch, feature.stream_field) as stream:
        run = _Run(claimed, feature, prompt, cancel, stream, started)
        try:
            outcome = run.ask(route.models, question)
        except AttemptRefusedError as refused:
            outcome = _after_refusal(refused)
    if withdrawal is not None and not _provider_failed(outcome):
        retries.give_back(withdrawal)
    return outcome


def _ended_before_it_began(claimed: Claimed, feature: Feature) -> Outcome | None:
    if claimed.cancel_requested:
        return CancelledByUser()
    if claimed.tries >= feature.limits.max_tries:
        return Failed("poison")
    if claimed.seconds_left <= 0:
        return Failed(FAILED_AFTER_WAITING.get(claimed.last_error, "deadline_exceeded"))
    return None


@dataclass(frozen=True, slots=True)
class _Run:
    """One claimed job on its way through the models of its route."""

    claimed: Claimed
    feature: Feature
    prompt: Prompt
    cancel: Cancel
    stream: JobStream
    started: float

    def ask(self, models: tuple[str, ...], question: str) -> Outcome:
        """Ask each model, with one repair each, until an answer fits."""
        last: Settlement | None = None
        for position, model in enumerate(models):
            purpose = Purpose.ESCALATION if position else Purpose.GENERATION
            turns: tuple[Message, ...] = (Message("user", (TextBlock(question),)),)
            for _ in range(2):
                if last is not None:
                    transitions.settle(self.claimed, last)
                request = self._request(model, turns)
                answer = self._call(request, purpose)
                if isinstance(answer, InferenceError):
                    last = ledger.failed(request, answer)
                    if answer.next_model:
                        break
                    return self._after_error(answer, last)
                last = ledger.answered(request, answer)
                try:
                    return Accepted(output.validate(self.feature, answer.text), last)
                except OutputInvalidError as error:
                    logger.info("job %s: %s: invalid output", self.claimed.job, model)
                    turns = (turns[0], *output.repair_turns(answer.text, error))
                    purpose = Purpose.REPAIR
        return Failed("output_invalid", last)

    def _request(self, model: str, turns: tuple[Message, ...]) -> InferenceRequest:
        return InferenceRequest(
            attempt_id=uuid4(),
            model=model,
            system=(TextBlock(self.prompt.system, cache=True),),
            messages=turns,
            max_tokens=self.prompt.parameters.max_tokens,
            output_schema=self.feature.output_schema,
            stream=self.feature.stream_field is not None,
            deadline_s=max(0.0, min(self.feature.limits.call_deadline_s, self._seconds_left())),
        )

    def _call(
        self, request: InferenceRequest, purpose: Purpose
    ) -> InferenceResult | InferenceError:
        """Enter the call into the ledger, then send it.

        Raises:
            AttemptRefusedError, FencedError: the database let nothing be sent.
        """
        attempt = ledger.opened(
            request,
            purpose=purpose,
            prompt=self.prompt,
            provider=settings.AIFEATURE["PROVIDER"],
            bound_micro=gateway().upper_bound_micro(request),
        )
        transitions.begin_attempt(self.claimed, attempt, control.caps(self.feature))
        try:
            return gateway().infer(request, cancel=self.cancel, on_delta=self.stream.sink())
        except InferenceError as error:
            logger.warning("job %s: attempt %s: %s", self.claimed.job, attempt.id, error.code)
            return error

    def _after_error(self, error: InferenceError, settlement: Settlement) -> Outcome:
        if isinstance(error, Cancelled):
            return _after_abort(error, settlement)
        decision = retry.decide(
            error,
            failures=self.claimed.attempts,
            tries=self.claimed.tries,
            max_tries=self.feature.limits.max_tries,
            seconds_left=self._seconds_left(),
            jitter=_jitter(),
        )
        return _decided(decision, settlement)

    def _seconds_left(self) -> float:
        return self.claimed.seconds_left - (time.monotonic() - self.started)


def _decided(decision: retry.Decision, settlement: Settlement | None) -> Outcome:
    match decision:
        case retry.RetryIn(delay_s, burn):
            return Later(delay_s, burn=burn, code="provider_waiting", settlement=settlement)
        case retry.GiveUp(code):
            return Failed(code, settlement)


def _provider_failed(outcome: Outcome) -> bool:
    """Whether the run ended as those do that an outage of the provider ends."""
    return getattr(outcome, "code", "") in {"provider_waiting", "provider_unavailable"}


def _jitter() -> float:
    return random.random()  # noqa: S311 (spreads load, guards nothing)


def _after_abort(error: Cancelled, settlement: Settlement) -> Outcome:
    """We stopped the call ourselves: that is no failure of the provider and burns no try."""
    match error.reason:
        case lease.USER:
            return CancelledByUser(settlement)
        case lease.PAUSED:
            return Later(HOLD_S, burn=False, code="feature_paused", settlement=settlement)
        case lease.STOPPING:
            return Later(0.0, burn=False, code="interrupted", settlement=settlement)
        case _:
            raise FencedError


def _after_refusal(refused: AttemptRefusedError) -> Outcome:
    match refused.verdict:
        case "cancelled":
            return CancelledByUser()
        case "deadline":
            return Failed("deadline_exceeded")
        case "budget_spent":
            return Failed("budget_spent")
        case "budget_held":
            return Later(HOLD_S, burn=False, code="budget_held")
        case "paused":
            return Later(HOLD_S, burn=False, code="feature_paused")
        case verdict:
            raise AssertionError(f"aif_begin_attempt answered {verdict!r}")


def _brief(outcome: Outcome) -> str:
    return f"{type(outcome).__name__} {getattr(outcome, 'code', '')}".strip()
