"""The used share of the provider's limits, and the share of refused calls, under full load.

Three models run together, each with another binding limit. The measured minute begins some time
after a limit is reached, without the full buckets of the start and the unused reservations of the
first calls.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from tests.bench.load import DOCUMENT
from tests.bench.report import Aim, BrokenRunError, Figure, progress
from tests.bench.stack import Stack
from workers.inference.client import AnthropicClient
from workers.inference.errors import Deferred, RateLimited
from workers.inference.gateway import Gateway
from workers.inference.provider_limits import Amounts, used_by
from workers.inference.rate_gate import RateGate
from workers.inference.shared_state import connect
from workers.inference.types import Cancel, InferenceRequest, Message, TextBlock

AMPLE: Final = 100_000_000
LIMITS: Final[Mapping[str, Amounts]] = {
    "claude-haiku-5-5": Amounts(600, AMPLE, AMPLE),
    "claude-sonnet-5-5": Amounts(AMPLE, 60_000, AMPLE),
    "claude-opus-5-5": Amounts(AMPLE, AMPLE, 30_000),
}
"""Per minute: the most that one machine can use beside the sandbox."""

NAMES: Final = ("requests", "input_tokens", "output_tokens")
THREADS: Final = 30
"""For each model."""

LATENCY_S: Final = 0.3
MEASURED_S: Final = 60.0
SETTLED_S: Final = 15.0
"""Seconds from reaching a limit to the measured minute."""

FILL_S: Final = 90.0
"""Longest time until a limit is reached."""


@dataclass
class Run:
    """One model at its limit."""

    model: str
    gateway: Gateway
    lock: threading.Lock = field(default_factory=threading.Lock)
    reached: float | None = None
    """Time of the first deferred call."""

    sent: int = 0
    refused: int = 0
    used: list[Amounts] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def over(self) -> bool:
        """Return whether the measured minute has ended or will never begin."""
        now = time.monotonic()
        if self.reached is None:
            return now > self.begun + FILL_S
        return now > self.reached + SETTLED_S + MEASURED_S

    def measured(self) -> bool:
        """Return whether this is the measured minute."""
        if self.reached is None or self.over():
            return False
        return time.monotonic() > self.reached + SETTLED_S

    def jobs(self, dice: random.Random) -> None:
        """Run one job after the other."""
        while not self.over():
            request = _request(self.model, dice)
            booked = False
            while not self.over():
                wait_s = self._try(request, booked=booked)
                if wait_s is None:
                    break
                booked = True
                time.sleep(min(wait_s, MEASURED_S))

    def _try(self, request: InferenceRequest, *, booked: bool) -> float | None:
        """Send a call if allowed. Return the seconds until the next try; None: it succeeded."""
        try:
            admission = self.gateway.admit(request, user=None, booked=booked)
        except Deferred as deferred:
            with self.lock:
                self.reached = self.reached or time.monotonic()
            return deferred.wait_s
        measured = self.measured()
        with self.lock:
            self.sent += measured
        try:
            result = self.gateway.infer(request, cancel=Cancel(), admission=admission)
        except RateLimited as error:
            with self.lock:
                self.refused += measured
            return error.retry_after_s or 1.0
        if measured:
            with self.lock:
                self.used.append(used_by(result.usage))
        return None


def run(stack: Stack, _rounds: int) -> Figure:
    """Use each model at its limit for a minute."""
    with stack.bed("limits") as bed:
        sandbox = bed.sandbox(latency_s=LATENCY_S, first_byte_s=LATENCY_S / 2)
        limits = {
            model: {name: getattr(amounts, name) for name in NAMES}
            for model, amounts in LIMITS.items()
        }
        sandbox.set_faults({"rate_limits": limits})
        client = AnthropicClient(api_key="sk-bench", base_url=sandbox.url)
        state = connect(bed.redis_url, {})
        runs = [Run(model, Gateway(client, gate=RateGate(state))) for model in LIMITS]
        try:
            _drive(runs)
        finally:
            client.close()
    return _figure(runs)


def _drive(runs: list[Run]) -> None:
    progress(f"limits: {THREADS} threads each for {len(runs)} models, at least {MEASURED_S:.0f} s")
    with ThreadPoolExecutor(THREADS * len(runs)) as pool:
        running = [
            pool.submit(each.jobs, random.Random(number))
            for each in runs
            for number in range(THREADS)
        ]
        for one in running:
            one.result()


def _figure(runs: list[Run]) -> Figure:
    values: dict[str, float | int] = {}
    for each, name in zip(runs, NAMES, strict=True):
        if each.reached is None:
            raise BrokenRunError(f"the limit of {name} was never reached")
        limit = getattr(LIMITS[each.model], name) * MEASURED_S / 60
        values[f"use_of_{name}"] = sum(getattr(used, name) for used in each.used) / limit
        values[f"share_429_{name}"] = each.refused / max(each.sent, 1)
    values["share_429"] = max(value for key, value in values.items() if "429" in key)
    values["use_of_limit"] = min(value for key, value in values.items() if "use_of" in key)
    values["calls"] = sum(each.sent for each in runs)
    aims = (Aim("share_429", "at most", 0.01), Aim("use_of_limit", "at least", 0.9))
    note = (
        f"{THREADS} threads for each limit, over {MEASURED_S:.0f} s that begin {SETTLED_S:.0f} s"
        " after the limit was reached"
    )
    return Figure("limits", values, aims, note)


def _request(model: str, dice: random.Random) -> InferenceRequest:
    text = DOCUMENT[: dice.randrange(len(DOCUMENT) // 3, len(DOCUMENT))]
    return InferenceRequest(
        attempt_id=uuid4(),
        model=model,
        system=(TextBlock("Summarise the document in two sentences."),),
        messages=(Message("user", (TextBlock(f"<document>{text}</document>"),)),),
        max_tokens=400,
        stream=False,
    )
