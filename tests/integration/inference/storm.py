"""A storm of the provider in simulated time: 32 threads, jobs of real sizes, real gate and prices.

It follows `execution`: admit, probe, fall back, call, retry. It leaves out the retry budget and the
concurrency limit, which would only lower the spend.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal
from uuid import uuid4

from aifeature import prompts, registry
from aifeature.models import Stage
from aifeature.policies import routing
from aifeature.policies.routing import Facts
from aifeature.services.dispatch import paused_jobs
from aifeature.services.execution.calls import PROBE, PROBE_S
from workers import retry
from workers.inference import (
    AnswerIncomplete,
    Billing,
    ConnectionFailed,
    DeadlineReached,
    Deferred,
    InferenceError,
    InferenceRequest,
    Message,
    ProviderFault,
    ProviderTimeout,
    TextBlock,
    TokenUsage,
)
from workers.inference.client import schema_bytes
from workers.inference.pricing import prompt_bound_tokens, upper_bound_micro
from workers.inference.rate_gate import RateGate
from workers.inference.token_bucket import SECOND

THREADS: Final = 32
"""Two workers of 16."""

JOBS: Final = 64
"""Jobs of users at a time. When one ends, another begins."""

STORM_S: Final = 600.0
AFTER_S: Final = 90.0
CALL_S: Final = 4.0
BEGINS_S: Final = 0.8
PROBED_S: Final = 0.8
IDLE_S: Final = 60.0
"""Seconds of a call, until its first text, of an answered probe, and until a time-out."""

START: Final = 1_800_000_000

FEATURE: Final = registry.get("summarize")
PROMPT: Final = prompts.get("summarize", FEATURE.prompt_version)


@dataclass(frozen=True, slots=True)
class Storm:
    """The failure of each call, and its seconds."""

    error: type[InferenceError]
    seconds: float
    billing: Literal["nothing", "ceiling", "bound"]
    answers_probes: bool = False


STORMS: Final = {
    "api_error": Storm(ProviderFault, 0.3, "nothing"),
    "504 with JSON": Storm(ProviderTimeout, 30.0, "nothing"),
    "504 of a proxy": Storm(ProviderTimeout, 30.0, "bound"),
    "reset after sending": Storm(ConnectionFailed, 0.1, "bound"),
    "no byte": Storm(ProviderTimeout, IDLE_S, "bound"),
    "cut after message_start": Storm(AnswerIncomplete, 1.0, "ceiling"),
    "no byte but to probes": Storm(ProviderTimeout, IDLE_S, "bound", answers_probes=True),
    "cut but for probes": Storm(AnswerIncomplete, 1.0, "ceiling", answers_probes=True),
}

Mix = Sequence[tuple[int, float]]
"""Sizes of documents in bytes, with their shares."""

USUAL: Final[Mix] = ((4_000, 0.80), (60_000, 0.15), (390_000, 0.05))
LARGE: Final[Mix] = ((390_000, 1.0),)


class Clock:
    """Seconds of the simulation."""

    now: float = START

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class _Job:
    size: int
    born: float
    attempts: int = 0
    tries: int = 0


@dataclass(slots=True)
class Found:
    """Figures of a storm, in micro-dollars and in seconds after its end."""

    spend: int = 0
    of_probes: int = 0
    calls: int = 0
    probes: int = 0
    failed_jobs: int = 0
    out_of_tries: int = 0
    """The failed jobs that were not ended by their deadline."""

    first_served: float | None = None
    last_served: float = 0.0
    """The last of the jobs that waited at the end."""


class Play:
    """A storm on a gate."""

    def __init__(
        self, gate: RateGate, storm: Storm, mix: Mix, *, clock: Clock, seed: int = 1
    ) -> None:
        """Prepare models that have answered for a while. The play moves `clock`."""
        self._gate, self._storm, self._mix = gate, storm, mix
        self._random = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._now = -300.0
        self._clock = clock
        self._ready: deque[_Job] = deque()
        self._free = THREADS
        self._waiting: set[int] = set()
        self._paused: list[_of] = []
        """Steps of jobs that an open breaker deferred."""

        self.found = Found()
        for model in sorted(FEATURE.models):  # in one order, so that each play is the same
            for _ in range(50):
                gate.admit(model=model, input_tokens=1, output_tokens=1, now=self._us()).succeeded(
                    TokenUsage(), {}, 1_000, now=self._us()
                )

    def run(self) -> Found:
        """Play the storm and the time after it."""
        for number in range(JOBS):
            self._at(number * 0.01, self._comes)
        self._at(STORM_S, self._storm_ends)
        self._free_paused()
        while self._events and self._events[0][0] < STORM_S + AFTER_S:
            self._now, _, step = heapq.heappop(self._events)
            step()
            while self._free and self._ready:
                self._free -= 1
                self._run(self._ready.popleft())
        assert not self._waiting, "jobs that waited at the storm's end are served within a minute"
        return self.found

    def _comes(self) -> None:
        sizes, shares = zip(*self._mix, strict=True)
        (size,) = self._random.choices(sizes, shares)
        self._ready.append(_Job(size, self._now))

    def _storm_ends(self) -> None:
        """Note the jobs that run or wait. A call that hangs goes on until its time-out."""
        self._waiting = {id(job) for job in self._living}

    @property
    def _living(self) -> list[_Job]:
        scheduled = [getattr(step, "job", None) for _, _, step in self._events]
        return [job for job in [*self._ready, *scheduled] if job is not None]

    def _run(self, job: _Job) -> None:
        left = FEATURE.limits.deadline_s - (self._now - job.born)
        if left <= retry.LAST_TRY_S:
            self._fails(job)
        else:
            self._try_models(job, 0, probed=False)

    def _try_models(self, job: _Job, position: int, *, probed: bool) -> None:
        """Try the models of the route from this one on, as `execution` does."""
        models = route(job.size)
        for place, model in enumerate(models[position:], position):
            try:
                admission = self._admit(job, model, fallback=place > 0)
            except Deferred as deferred:
                if deferred.probe is not None and not (probed and place == position):
                    self._probe(job, place, deferred.probe)
                    return
                if deferred.probe is not None:
                    deferred.probe.give_back()
                if deferred.next_model and place + 1 < len(models):
                    continue
                self._later(job, deferred.wait_s, paused=True)
                return
            self._call(job, model, admission)
            return

    def _admit(self, job: _Job, model: str, *, fallback: bool) -> Any:
        sent = request(model, job.size)
        return self._gate.admit(
            model=model,
            input_tokens=bound_tokens(model, job.size),
            output_tokens=sent.max_tokens,
            fallback=fallback,
            now=self._us(),
        )

    def _probe(self, job: _Job, place: int, admission: Any) -> None:
        model = route(job.size)[place]
        storm = self._storm
        fails = self._now < STORM_S and not storm.answers_probes
        hangs = storm.seconds > PROBE_S
        self.found.probes += 1

        def ends() -> None:
            if fails:
                error = DeadlineReached if hangs else storm.error
                admission.failed(error("storm"), now=self._us())
                if storm.billing != "nothing":
                    self.found.spend += probe_bound(model)
                    self.found.of_probes += probe_bound(model)
            else:
                admission.succeeded(TokenUsage(), {}, 800, now=self._us())
            self._try_models(job, place, probed=True)

        self._at((PROBE_S if hangs else storm.seconds) if fails else PROBED_S, _of(job, ends))

    def _call(self, job: _Job, model: str, admission: Any) -> None:
        if self._now < STORM_S:
            self._at(self._storm.seconds, _of(job, lambda: self._call_fails(job, model, admission)))
            self.found.calls += 1
            return
        if self.found.first_served is None:
            self.found.first_served = self._now - STORM_S
        if id(job) in self._waiting:
            self._waiting.discard(id(job))
            self.found.last_served = self._now - STORM_S

        def ends() -> None:
            admission.succeeded(TokenUsage(), {}, 4_000, now=self._us())
            self._free += 1
            self._comes()

        sink = admission.sink(None)
        if sink is not None:
            self._at(BEGINS_S, lambda: sink("The"))
        self._at(CALL_S, ends)

    def _call_fails(self, job: _Job, model: str, admission: Any) -> None:
        storm = self._storm
        billing = Billing.NONE if storm.billing == "nothing" else Billing.UNSEEN
        error = storm.error("storm", billing=billing, latency_ms=round(storm.seconds * 1000) + 1)
        admission.failed(error, now=self._us())
        self.found.spend += cost(storm.billing, model, job.size)
        decision = retry.decide(
            error,
            failures=job.attempts,
            tries=job.tries,
            max_tries=FEATURE.limits.max_tries,
            seconds_left=FEATURE.limits.deadline_s - (self._now - job.born),
            jitter=self._random.random(),
        )
        job.attempts += 1
        match decision:
            case retry.RetryIn(delay_s, counts_as_try):
                job.tries += counts_as_try
                self._later(job, delay_s)
            case _:
                self.found.out_of_tries += job.tries + 1 >= FEATURE.limits.max_tries
                self._fails(job)

    def _later(self, job: _Job, wait_s: float, *, paused: bool = False) -> None:
        self._free += 1
        left = FEATURE.limits.deadline_s - (self._now - job.born)
        if wait_s >= left - retry.LAST_TRY_S:
            self._free -= 1
            self._fails(job)
        else:
            step = _of(job, lambda: self._ready.append(job))
            self._at(wait_s, step)
            if paused:
                self._paused.append(step)

    def _free_paused(self) -> None:
        """Free all deferred jobs when every model answers, as `paused_jobs` does."""
        self._at(paused_jobs.EVERY_S, self._free_paused)
        states = {self._gate.breaker(model, now=self._us()).state for model in FEATURE.models}
        if states == {"closed"}:
            for step in self._paused:
                step()
            self._paused.clear()

    def _fails(self, job: _Job) -> None:
        """End a job, and begin another."""
        self._waiting.discard(id(job))
        self.found.failed_jobs += 1
        self._free += 1
        self._comes()

    def _at(self, later: float, step: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (max(self._now, 0.0) + later, self._number, step))

    def _us(self) -> int:
        self._clock.now = START + self._now
        return round(self._clock.now * SECOND)


class _of:  # noqa: N801 - reads as a word at its call
    """A step that belongs to a job."""

    def __init__(self, job: _Job, step: Callable[[], None]) -> None:
        self.job, self._step = job, step

    def __call__(self) -> None:
        """Make the step, once."""
        step, self._step = self._step, _nothing
        step()


def _nothing() -> None:
    pass


@cache
def route(size: int) -> tuple[str, ...]:
    """Return the models for a document of this size."""
    facts = Facts(
        prompt_bytes=len(PROMPT.render({"document": "x" * size}).text.encode()),
        stage=Stage.EVERYONE,
        language=str,
        budget_share=float,
    )
    return routing.choose(FEATURE.routes, facts).route.models


@cache
def request(model: str, size: int) -> InferenceRequest:
    """Return the request of `summarize` for a document of this size."""
    return InferenceRequest(
        attempt_id=uuid4(),
        model=model,
        system=(TextBlock(PROMPT.system, cache=True),),
        messages=(Message("user", (TextBlock(PROMPT.render({"document": "x" * size}).text),)),),
        max_tokens=PROMPT.parameters.max_tokens,
        output_schema=FEATURE.output_schema,
    )


@cache
def bound_tokens(model: str, size: int) -> int:
    """Return the most tokens of its prompt."""
    sent = request(model, size)
    return prompt_bound_tokens(sent, schema_bytes=schema_bytes(sent))


@cache
def cost(billing: str, model: str, size: int) -> int:
    """Return the micro-dollars that a call counts. A ceiling is a quarter token for each byte."""
    sent = request(model, size)
    if billing == "nothing":
        return 0
    if billing == "bound":
        return upper_bound_micro(sent, schema_bytes=schema_bytes(sent))
    quarter = request(model, size // 4)
    return upper_bound_micro(quarter, schema_bytes=schema_bytes(quarter))


@cache
def probe_bound(model: str) -> int:
    """Return the micro-dollars that a probe counts."""
    probe = InferenceRequest(uuid4(), model, system=(), messages=PROBE, max_tokens=1)
    return upper_bound_micro(probe)
