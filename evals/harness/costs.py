"""Costs of a run, estimated before and counted during it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from django.db.models import Avg

from aifeature import money, prompts, registry
from aifeature.spec import Feature
from evals.models import Run, Sample
from workers.inference import pricing

OUTPUT_SHARE: Final = 0.4
"""Share of `max_tokens` that an answer usually has, while no run has shown it."""


def dollars(micro: int) -> str:
    """Return an amount for people, such as `$0.42`."""
    return f"${Decimal(money.exact(micro)):.2f}"


def estimate_micro(run: Run, feature: Feature, samples: Sequence[Sample]) -> int:
    """Return the micro-dollars that these samples will probably cost, with their judgements.

    By the mean cost of the feature's latest samples, or else by the length of prompt and input.
    """
    counts = Counter(sample.arm for sample in samples)
    calls = sum(count for arm, count in counts.items() if arm in run.arms)
    return round(calls * _mean_micro(run, feature) + _judging_micro(run, counts))


def _mean_micro(run: Run, feature: Feature) -> float:
    known = Sample.objects.filter(
        run__feature=feature.slug, run__provider=run.provider, cost_micro__gt=0, judge_job=None
    )
    if (mean := known.aggregate(mean=Avg("cost_micro"))["mean"]) is not None:
        return float(mean)
    prompt = prompts.get(feature.slug, run.arms["candidate"]["version"])
    sizes = [
        sum(len(str(v).encode()) for v in case["input"].values()) for case in run.cases["cases"]
    ]
    return _price(
        feature.routes[0].models[0],
        (len(prompt.system.encode()) + len(prompt.user.encode())) + sum(sizes) / len(sizes),
        prompt.parameters.max_tokens,
    )


def _judging_micro(run: Run, counts: Counter[str]) -> float:
    if not run.judge:
        return 0.0
    judge = registry.get("judge")
    prompt = prompts.get("judge", judge.prompt_version)
    sizes = [len(str(case).encode()) for case in run.cases["cases"]]
    size = len(prompt.system.encode()) + sum(sizes) / len(sizes) + len(str(run.cases["about"]))
    each = _price(judge.routes[0].models[0], size, prompt.parameters.max_tokens)
    return sum(counts.values()) * each


def _price(model: str, prompt_bytes: float, max_tokens: int) -> float:
    rates = pricing.price_list(model)[0]
    tokens = prompt_bytes / pricing.BYTES_PER_TOKEN
    return tokens * float(rates.input) + OUTPUT_SHARE * max_tokens * float(rates.output)
