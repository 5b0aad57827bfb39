"""The path of one job through a worker, from claim to outcome."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import NamedTuple
from uuid import UUID, uuid4

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from pydantic import ValidationError

from aifeature import registry
from aifeature.fences import FenceError, Rendered
from aifeature.models import transitions
from aifeature.models.functions import brief, is_lock_timeout, is_refused, is_turned_away
from aifeature.models.transitions import (
    AttemptRefusedError,
    Caps,
    Claimed,
    FencedError,
    NewAttempt,
    Settlement,
)
from aifeature.policies.routing import Choice
from aifeature.prompts import Prompt
from aifeature.reasons import FailureCode, WaitReason, after_waiting
from aifeature.services import controls
from aifeature.services.controls import rates
from aifeature.services.execution import (
    calls,
    lease,
    ledger,
    moderation,
    outcomes,
    output,
    prompt_choice,
    routes,
    run_decisions,
    worker_context,
)
from aifeature.services.execution.checking import RETRY_DEFECT_S, Checks
from aifeature.services.execution.hooks import FeatureBrokenError
from aifeature.services.execution.lease import LeaseKeeper
from aifeature.services.execution.moderation import ModerationFailedError
from aifeature.services.execution.outcomes import (
    CancelledByUser,
    Degraded,
    Failed,
    Outcome,
    Requeue,
    UnstorableError,
)
from aifeature.services.execution.output import OutputInvalidError
from aifeature.services.execution.worker_context import WorkerContext
from aifeature.services.functions.errors import FunctionsAwayError
from aifeature.services.guards import audit, outputs
from aifeature.services.guards.outputs import AnswerGuards
from aifeature.services.payloads import input_values, language
from aifeature.services.streams import shown
from aifeature.services.streams.writer import JobStream
from aifeature.spec import Feature, Purpose
from workers import retry
from workers.inference import (
    Billing,
    Cancel,
    Cancelled,
    Deferred,
    InferenceError,
    InferenceRequest,
    InferenceResult,
    Message,
    TextBlock,
    pricing,
)
from workers.inference.grants import UserTokens

logger = logging.getLogger(__name__)

RETRY_OUTAGE_S = 1.0
"""Seconds until a job is retried after a database outage interrupted its run."""

LEAST_CALL_S = 30.0
"""Most seconds that a usual call takes. With less time until the job's deadline, no call is made: a
call cut by a deadline is spend without a charge, and a user could cause it by waiting."""

LEAST_SHARE = 0.1
"""The same as a share of the deadline, for features with a short deadline."""


def run_feature(job_id: UUID, *, worker: str, context: WorkerContext | None = None) -> None:
    """Claim a job, execute it and store its outcome.

    Do nothing if the job is gone, not due, ended or held by another worker, so a message may be
    delivered twice.

    Args:
        job_id: The job.
        worker: The name of this process.
        context: Shared by the runs of this process; None: the current one.
    """
    shared = context or worker_context.current()
    with shared.keeper.claiming(job_id):
        lease_s = settings.AIFEATURE["LEASE_S"]
        claimed = transitions.claim(job_id, worker=worker, lease_s=lease_s)
        if claimed is None:
            logger.info("job %s: nothing to do", job_id)
            return
        _run(claimed, shared, lease_s=lease_s)


def _run(claimed: Claimed, shared: WorkerContext, *, lease_s: float) -> None:
    cancel = Cancel()
    ends = time.monotonic() + claimed.seconds_left
    try:
        with shared.keeper.hold(claimed, cancel):
            outcome = _execute_or_requeue(claimed, shared, cancel)
            left_s = ends - time.monotonic()
            # The answer is already paid for. If the run is taken over meanwhile, it is fenced.
            outcomes.record(claimed, outcome, for_s=max(lease_s, left_s), locked_for_s=left_s)
    except FencedError:
        logger.warning("job %s: epoch %d was taken over; stopped", claimed.job, claimed.epoch)
    else:
        logger.info("job %s: %s", claimed.job, _brief(outcome))


@dataclass(slots=True)
class _Progress:
    """Progress of a run, read after an exception has ended it."""

    paid: bool = False
    """A call was made that may be billed. Making it again would cost the same again."""


def _execute_or_requeue(claimed: Claimed, shared: WorkerContext, cancel: Cancel) -> Outcome:
    # After an outage or a defect, do not leave the job to its lease or retry it without limit.
    progress = _Progress()
    try:
        return _execute(claimed, shared, cancel, progress)
    except FencedError:
        raise
    except UnstorableError as unstorable:
        return Failed(FailureCode.ANSWER_GARBLED, unstorable.settlement)
    except (DatabaseError, InterfaceError) as error:
        if is_refused(error):
            return _after_refused_write(claimed, error, paid=progress.paid)
        logger.warning(
            "job %s: database error during its run, trying again: %s", claimed.job, brief(error)
        )
        counts_as_try = progress.paid and not is_lock_timeout(error)
        return Requeue(RETRY_OUTAGE_S, counts_as_try=counts_as_try, reason=WaitReason.INTERRUPTED)
    except Exception:
        logger.exception("job %s: unexpected error; requeued, counts as a try", claimed.job)
        return Requeue(RETRY_DEFECT_S, counts_as_try=True, reason=WaitReason.INTERNAL_ERROR)


def _after_refused_write(claimed: Claimed, error: Exception, *, paid: bool) -> Outcome:
    """End the job if a call may be billed: a retry would pay for it and be refused again."""
    logger.error("job %s: the database refused a write: %s", claimed.job, brief(error))
    if paid:
        return Failed(FailureCode.ANSWER_GARBLED)
    return Requeue(RETRY_DEFECT_S, counts_as_try=True, reason=WaitReason.INTERNAL_ERROR)


def _execute(
    claimed: Claimed, shared: WorkerContext, cancel: Cancel, progress: _Progress
) -> Outcome:
    try:
        feature = registry.get(claimed.feature)
    except registry.UnknownFeatureError:
        return Failed(FailureCode.FEATURE_REMOVED)
    if early := _early_outcome(claimed, feature):
        return early

    prompt = prompt_choice.of(feature, claimed)
    if not isinstance(prompt, Prompt):
        return prompt
    turn = _turn(feature, prompt, claimed)
    if not isinstance(turn, _Turn):
        return turn
    guard, rendered, choice = turn

    withdrawal = None
    if (
        claimed.waited_for == WaitReason.PROVIDER_WAITING
        and (withdrawal := shared.retries.withdraw()) is None
    ):
        decision = retry.defer(seconds_left=claimed.seconds_left, jitter=_jitter())
        return _without_provider(run_decisions.decided(decision, None), claimed, shared, guard)
    started = time.monotonic()
    shown_field = None if guard.tightened else feature.stream_field
    released = guard.released if shown_field else None
    with shared.streams.open(claimed.job, claimed.epoch, shown_field, released) as stream:
        run = _Run(claimed, shared, feature, prompt, guard, cancel, stream, started, progress)
        try:
            outcome = run.call_models(choice, rendered.text)
        except Cancelled as stopped:  # during a probe: no call of this job is in flight
            outcome = run_decisions.after_abort(stopped, None)
        finally:
            _record(guard, claimed)
        max_tries = feature.limits.max_tries
        outcome = run_decisions.within_tries(outcome, tries=claimed.tries, max_tries=max_tries)
        if withdrawal is not None and not run_decisions.provider_failed(outcome):
            shared.retries.give_back(withdrawal)
        outcome = _without_provider(outcome, claimed, shared, guard)
        return _with_shown(outcome, claimed, stream)


class _Turn(NamedTuple):
    """The first user turn of a run, with its guards and its route."""

    guard: AnswerGuards
    rendered: Rendered
    choice: Choice


def _turn(feature: Feature, prompt: Prompt, claimed: Claimed) -> _Turn | Failed:
    try:
        value = input_values.read(feature.input_model, claimed.input)
        rendered = prompt.render(
            input_values.for_prompt(value), fence=claimed.options.get("nonce") or None
        )
    except ValidationError:  # accepted by an earlier release of the feature
        return Failed(FailureCode.INPUT_INVALID)
    except FenceError:
        return Failed(FailureCode.INPUT_REFUSED)
    guard = AnswerGuards(
        *(feature, prompt, rendered, claimed.input),
        tightened=bool(claimed.options.get("tightened")),
        detect=language.probable,
    )
    return _Turn(guard, rendered, routes.choose(feature, prompt, claimed, value, rendered.text))


def _record(guard: AnswerGuards, claimed: Claimed) -> None:
    """Write what the guards of answers have found since the last time to the audit log."""
    events = guard.events[:]
    guard.events.clear()
    if events and claimed.is_of_user:
        audit.record_all(events, user_id=claimed.user_id, feature=claimed.feature, job=claimed.job)


def _without_provider(
    outcome: Outcome, claimed: Claimed, shared: WorkerContext, guard: AnswerGuards
) -> Outcome:
    """Replace an outcome of an outage by the feature's plain answer, if it offers users one."""
    if not run_decisions.is_outage(outcome) or not claimed.is_of_user:
        return outcome
    try:
        found = output.plain(shared.functions, guard.feature, claimed.input)
    except (FeatureBrokenError, FunctionsAwayError):
        return outcome
    if found is None:
        return outcome
    result = guard.cleaned(found)
    _record(guard, claimed)
    return outcome if guard.is_unsafe() else Degraded(result, outcome.settlement)


def _with_shown(outcome: Outcome, claimed: Claimed, stream: JobStream) -> Outcome:
    """Add the text that the user keeps after a cancellation, also from an earlier run."""
    match outcome:
        case CancelledByUser(settlement) if not (settlement and settlement.delivered_text):
            text = stream.confirmed() or shown.latest(claimed.job, claimed.epoch)
            return replace(outcome, shown=text)
        case Requeue():
            return replace(outcome, shown=stream.confirmed())
        case _:
            return outcome


def _early_outcome(claimed: Claimed, feature: Feature) -> Outcome | None:
    if claimed.cancel_requested:  # its last worker was lost before it could store the shown text
        return CancelledByUser(shown=shown.latest(claimed.job, claimed.epoch))
    if claimed.tries >= feature.limits.max_tries:
        return Failed(FailureCode.MAX_TRIES_EXCEEDED)
    if claimed.seconds_left <= 0:
        return Failed(after_waiting(claimed.waited_for))
    return None


@dataclass(frozen=True, slots=True)
class _Run:
    """One claimed job on its way through the models of its route. Pays for its calls."""

    claimed: Claimed
    shared: WorkerContext
    feature: Feature
    prompt: Prompt
    guard: AnswerGuards
    cancel: Cancel
    stream: JobStream
    started: float
    progress: _Progress

    def call_models(self, choice: Choice, message: str) -> Outcome:
        """Call each model of the route, with one repair each, until an answer is valid.

        Raises Cancelled if a probe is cancelled.
        """
        last: Settlement | None = None
        code = FailureCode.OUTPUT_INVALID
        passed_over: Deferred | None = None
        models, why = choice.route.models, choice.reason
        for position, model in enumerate(models):
            purpose = Purpose.ESCALATION if position else Purpose.GENERATION
            turns: tuple[Message, ...] = (Message("user", (TextBlock(message),)),)
            for _ in range(2):
                if last is not None:
                    self._store(last)
                    last = None
                request = self._request(model, turns)
                try:
                    answer, last = self._call(request, purpose, passed_over, why)
                except Deferred as deferred:
                    if not self._may_fall_back(deferred, models[position + 1 :]):
                        return self._after_deferral(deferred)
                    logger.info("job %s: %s; trying the next model", self.claimed.job, deferred)
                    passed_over, why = deferred, f"{model} takes no call: {deferred.reason}"
                    break
                except AttemptRefusedError as refused:
                    return self._after_refusal(refused, passed_over)
                if isinstance(answer, InferenceError):
                    if answer.next_model or self._comes_too_late(answer, models[position + 1 :]):
                        code = run_decisions.unusable(answer)
                        why = f"{model} gave no answer: {answer.code}"
                        break
                    return self._after_error(answer, last, model)
                try:
                    return self._checked(answer.text, last)
                except OutputInvalidError as error:
                    logger.info("job %s: %s: %s", self.claimed.job, model, error.code)
                    code = error.code
                    turns = (turns[0], *output.repair_turns(answer.text, error))
                    purpose, why = Purpose.REPAIR, f"the answer of {model} was invalid"
        return Failed(code, last)

    def _checked(self, text: str, settlement: Settlement) -> Outcome:
        """Return the outcome of an answer. Raises OutputInvalidError if it cannot be shown."""
        functions, call = self.shared.functions, self._call_moderator
        of_run = (self.claimed, self.feature, functions, self.guard, call, self._store)
        try:
            return Checks(*of_run).outcome(text, settlement)
        except (OutputInvalidError, FencedError):
            raise
        except moderation.ERRORS as error:
            self._store(settlement)
            outcome = self._not_moderated(error)
        except Exception:  # the answer is paid for, so its cost is stored after any error
            logger.exception("job %s: answer not checked, trying again", self.claimed.job)
            self._store(settlement)
            outcome = Requeue(RETRY_DEFECT_S, counts_as_try=True, reason=WaitReason.INTERNAL_ERROR)
        # The next run pays for the answer again, also if the moderation itself was free.
        return replace(outcome, counts_as_try=True) if isinstance(outcome, Requeue) else outcome

    def _not_moderated(self, error: Exception) -> Outcome:
        """Return the outcome of an answer that could not be moderated. It is not shown."""
        match error:
            case ModerationFailedError():
                return self._after_error(error.error, error.settlement, error.model)
            case Deferred():
                return self._after_deferral(error)
            case AttemptRefusedError(verdict="budget_held"):
                # Perhaps by the answer itself, and each try would pay for another one.
                return Failed(FailureCode.OVERLOADED)
            case AttemptRefusedError():
                return self._after_refusal(error, None)
            case Cancelled():  # during a probe
                return run_decisions.after_abort(error, None)
            case _:
                raise error

    def _call_moderator(self, request: InferenceRequest, prompt: Prompt, why: str) -> calls.Ended:
        return self._call(
            request, Purpose.MODERATION, None, why, prompt=prompt, clean=outputs.clean
        )

    def _store(self, settlement: Settlement) -> None:
        """Store the end of a call after which the job goes on.

        Raises UnstorableError if the database refuses it.
        """
        what = f"job {self.claimed.job}: end of a call"
        refused = outcomes.refusal(
            lambda: outcomes.until_stored(
                lambda: transitions.settle(self.claimed, settlement),
                what,
                for_s=max(settings.AIFEATURE["LEASE_S"], self._seconds_left()),
                locked_for_s=self._seconds_left(),
            ),
            what,
        )
        if refused is not None:
            raise UnstorableError(settlement)

    def _request(self, model: str, turns: tuple[Message, ...]) -> InferenceRequest:
        system = self.guard.system
        cache = pricing.is_cacheable(len(system.encode()), model)
        return InferenceRequest(
            attempt_id=uuid4(),
            model=model,
            system=(TextBlock(system, cache=cache),),
            messages=turns,
            max_tokens=self.prompt.parameters.max_tokens,
            output_schema=self.feature.output_schema,
            stream=self.stream.is_shown,
            deadline_s=self.feature.limits.call_deadline_s,
            nonce=self.claimed.options.get("nonce", ""),
        )

    def _call(
        self,
        request: InferenceRequest,
        purpose: Purpose,
        passed_over: Deferred | None,
        why: str,
        *,
        prompt: Prompt | None = None,
        clean: Callable[[str], str] | None = None,
    ) -> calls.Ended:
        """Make a call of this job. Raises the errors of `calls.make`."""
        if self._seconds_left() < self._least_s():
            raise AttemptRefusedError("deadline")
        is_fallback = passed_over is not None and passed_over.reason == "breaker"
        ended = calls.make(
            request,
            self,
            purpose=purpose,
            prompt=prompt or self.prompt,
            reason=why,
            is_fallback=is_fallback,
            clean=clean or self.guard.clean,
        )
        if isinstance(ended.answer, InferenceError):
            logger.warning(
                "job %s: attempt %s: %s", self.claimed.job, request.attempt_id, ended.answer.code
            )
        self.progress.paid = self.progress.paid or _may_be_billed(ended.answer)
        return ended

    @property
    def keeper(self) -> LeaseKeeper:
        return self.shared.keeper

    @property
    def is_booked(self) -> bool:
        return self.claimed.waited_for in run_decisions.BOOKED

    def tokens(self) -> UserTokens | None:
        """Return the bucket of the job's user, if the feature limits tokens per minute."""
        if not self.claimed.is_of_user:
            return None
        user_id = self.claimed.user_id
        per_minute = rates.of(self.feature, user_id).tokens_per_minute
        if per_minute is None:
            return None
        return UserTokens(f"{self.feature.slug}:{user_id}", per_minute)

    def reserve(self, attempt: NewAttempt) -> None:
        # While the database refuses writes, a run with a paid call waits here: a retry from its
        # beginning would pay for that call again.
        while True:
            try:
                transitions.begin_attempt(self.claimed, attempt, self._caps(attempt.purpose))
            except DatabaseError as error:
                waits = self.progress.paid and is_turned_away(error)
                if not waits or self._seconds_left() < self._least_s():
                    raise
                logger.warning("job %s: call not stored yet: %s", self.claimed.job, brief(error))
                time.sleep(outcomes.RETRY_S)
            else:
                break
        if self.claimed.waited_for != WaitReason.PROVIDER_WAITING:
            self.shared.retries.deposit()

    def deadline_s(self, request: InferenceRequest) -> float:  # noqa: ARG002 (required by Payer)
        """Return the feature's limit for a call, capped by the job's deadline."""
        return max(0.0, min(self.feature.limits.call_deadline_s, self._seconds_left()))

    def watched(self) -> AbstractContextManager[None]:
        """Return an empty context: the keeper already holds the whole run."""
        return nullcontext()

    def sink(self) -> Callable[[str], None] | None:
        return self.stream.sink()

    def settle(self, settlement: Settlement) -> None:
        """Do nothing: the job's next transition stores the settlement."""

    def _caps(self, purpose: Purpose) -> Caps:
        if not self.claimed.is_of_user:
            return controls.evals_caps()
        if purpose is Purpose.MODERATION:  # never charged, and part of the call that it follows
            return replace(controls.caps(self.feature), user=None)
        in_flight = rates.of(self.feature, self.claimed.user_id).in_flight
        return replace(controls.caps(self.feature), in_flight=in_flight)

    def _may_fall_back(self, deferred: Deferred, others: tuple[str, ...]) -> bool:
        next_model = deferred.next_model or (
            deferred.reason == "provider_limit" and self._is_too_long(deferred.wait_s)
        )
        return next_model and self.feature.falls_back and bool(others)

    def _comes_too_late(self, error: InferenceError, others: tuple[str, ...]) -> bool:
        """Return whether the provider's retry delay is too long and other models remain."""
        wait_s = error.retry_after_s if error.retryable else None
        too_long = wait_s is not None and self._is_too_long(wait_s)
        return too_long and self.feature.falls_back and bool(others)

    def _is_too_long(self, wait_s: float) -> bool:
        return wait_s >= self._seconds_left() - retry.LAST_TRY_S

    def _after_error(self, error: InferenceError, settlement: Settlement, model: str) -> Outcome:
        if isinstance(error, Cancelled):
            if error.reason == lease.USER:
                read = self.stream.delivered()
                settlement = ledger.cancelled_by_user(settlement, model=model, shown=read)
            return run_decisions.after_abort(error, settlement)
        if error.account_wide:
            self._store(settlement)
            found = calls.suspect(self, model, error)
            return run_decisions.after_suspicion(found, error, paid=self.progress.paid)
        decision = retry.decide(
            error,
            failures=self.claimed.attempts,
            tries=self.claimed.tries,
            max_tries=self.feature.limits.max_tries,
            seconds_left=self._seconds_left(),
            jitter=_jitter(),
        )
        return run_decisions.decided(decision, settlement)

    def _after_refusal(self, refused: AttemptRefusedError, passed_over: Deferred | None) -> Outcome:
        if passed_over is not None and refused.verdict == "budget_spent":
            # The remaining budget is too small for this model. The one passed over may fit.
            return self._after_deferral(passed_over)
        return run_decisions.after_refusal(
            refused, paid=self.progress.paid, waited_for=self.claimed.waited_for
        )

    def _after_deferral(self, deferred: Deferred) -> Outcome:
        return run_decisions.after_deferral(
            deferred,
            seconds_left=self._seconds_left(),
            least_s=self._least_s(),
            paid=self.progress.paid,
        )

    def _least_s(self) -> float:
        """Return the least seconds for a call. A shorter one would be cut and not charged."""
        return min(LEAST_CALL_S, controls.deadline_s(self.feature) * LEAST_SHARE)

    def _seconds_left(self) -> float:
        return self.claimed.seconds_left - (time.monotonic() - self.started)


def _may_be_billed(answer: InferenceResult | InferenceError) -> bool:
    return not (isinstance(answer, InferenceError) and answer.billing is Billing.NONE)


def _jitter() -> float:
    return random.random()  # noqa: S311 (spreads load, not a secret)


def _brief(outcome: Outcome) -> str:
    why = ""
    match outcome:  # no reason for an approval: it may quote the input
        case Failed(code=found) | Requeue(reason=found):
            why = found
    return f"{type(outcome).__name__} {why}".strip()
