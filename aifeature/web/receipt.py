"""The receipt of an answer: what it rests on, and what was checked."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Sum

from aifeature import money
from aifeature.models import Job
from aifeature.spec import Feature
from aifeature.web import citations

Line = tuple[str, str]
"""A label and its value."""


def lines(job: Job, feature: Feature | None, *, is_staff: bool) -> list[Line]:
    """Return the lines of the receipt of a job that succeeded. Staff see its cost, too."""
    return [*_made(job, feature), *(_cost(job) if is_staff else ())]


def _made(job: Job, feature: Feature | None) -> Iterator[Line]:
    if job.degraded:
        yield "Made by", "a simple rule, without AI"
    elif job.model:
        yield "Made by", job.model
        yield "Prompt", job.prompt_version
    name = feature and citations.field_of(feature)
    if name and job.result is not None:
        cited = {each["section"] for each in job.result.get(name) or ()}
        yield "Sources", ", ".join(sorted(cited)) or "none"
    if not job.degraded:
        own = feature is not None and feature.check is not None
        yield "Checked", "its form, and the feature's own rules" if own else "its form"


def _cost(job: Job) -> Iterator[Line]:
    yield "Cost", f"${money.exact(job.charge_micro)}"
    prompt = job.input_tokens + job.cache_read_tokens + job.cache_write_tokens
    if prompt:
        yield "Tokens", f"{prompt:,} in, {job.output_tokens:,} out"
        yield "Read from the cache", f"{job.cache_read_tokens / prompt:.0%} of the prompt"
    saved = job.ledger.aggregate(saved=Sum("cache_saved_micro"))["saved"] or 0
    if saved > 0:
        yield "Saved by the cache", f"${money.exact(saved)}"
    elif saved < 0:  # writing it costs more than the price of input
        yield "Spent on filling the cache", f"${money.exact(-saved)}"
