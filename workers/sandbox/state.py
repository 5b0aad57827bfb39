"""The state of the sandbox between calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.sandbox.cache import Boundary, PromptCache, PromptUsage
from workers.sandbox.catalog import MODELS
from workers.sandbox.faults import FaultPlan, Faults
from workers.sandbox.limits import Limiter
from workers.sandbox.record import Record
from workers.sandbox.rejection import Rejection

if TYPE_CHECKING:
    import asyncio

    from workers.sandbox.settings import Clock, SandboxSettings


class Sandbox:
    """Plan, limits, cache and record of one running sandbox."""

    def __init__(self, settings: SandboxSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.record = Record(settings.record_size, settings.record_file)
        self.cache = PromptCache()
        self.running: set[asyncio.Task[None]] = set()
        self.faults = Faults(FaultPlan(seed=settings.seed))
        self._limiter = Limiter(settings.rate_limits, clock())

    def set_plan(self, plan: FaultPlan) -> None:
        """Apply a fault plan. Limits that it changes start with full buckets."""
        self.faults = Faults(plan)
        limits = self.settings.rate_limits if plan.rate_limits is None else plan.rate_limits
        if dict(limits) != self._limiter.limits:
            self._limiter = Limiter(limits, self.clock())

    @property
    def error_rates(self) -> float:
        """Return the factor of the error rates that is in force."""
        planned = self.faults.plan.error_rates
        return self.settings.error_rates if planned is None else planned

    def admit(self, model: str, prompt: list[Boundary]) -> PromptUsage:
        """Admit a prompt and return its billing; 400 if too long, 429 if over a limit."""
        now = self.clock()
        context = MODELS[model].context
        if prompt[-1].tokens > context:
            raise Rejection(
                400, f"prompt is too long: {prompt[-1].tokens} tokens > {context} maximum"
            )
        usage = self.cache.account(prompt, model, now, write=False)
        refused = self._limiter.admit(model, usage.total - usage.cache_read, now)
        if refused is not None:
            name, wait_s = refused
            raise Rejection(
                429,
                f"This request would exceed your limit of {name.replace('-', ' ')} per minute.",
                retry_after_s=wait_s,
            )
        return self.cache.account(prompt, model, now, write=True)

    def produced(self, model: str, output_tokens: int) -> None:
        """Count the output tokens of an answer against the limit."""
        self._limiter.produced(model, output_tokens, self.clock())

    def limit_headers(self, model: str) -> dict[str, str]:
        """Return the current rate-limit headers of a model."""
        return self._limiter.headers(model, self.clock())

    def stop(self) -> None:
        """End all running calls."""
        for task in list(self.running):
            task.cancel()
