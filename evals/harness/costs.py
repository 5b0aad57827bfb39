"""Costs of a run, estimated before and counted during it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal
from uuid import UUID

from aifeature import money, prompts, registry
from aifeature.services import evaluations
from aifeature.spec import Feature
from evals.models import Run, Sample
from workers.inference import pricing

OUTPUT_SHARE: Final = 0.4
"""Share of `max_tokens` that an answer usually has, while no run has shown it."""

LATEST: Final = 1_000
"""Jobs from which the mean cost of a call is taken."""


def dollars(micro: int) -> str:
    """Return an amount for people, such as `$0.42`."""
    return f"${Decimal(money.exact(micro)):.2f}"


@dataclass(frozen=True, slots=True)
class Estimate:
    """The calls to make, and what they will probably cost."""

    answers: int
    judgements: int
    micro: int
    """Micro-dollars."""


def estimate(run: Run, feature: Feature, samples: Sequence[Sample]) -> Estimate:
    """Return the calls of these samples, of which none has a score, with their price.

    By the mean cost of the latest calls, those of the feature and those of its judge apart, or else
    by the length of prompt and input.
    """
    answers = sum(sample.arm != "plain" and sample.output is None for sample in samples)
    judgements = len(samples) if run.judge else 0  # plain answers too
    total = answers * _mean_micro(run, feature)
    if judgements:
        total += judgements * _judging_micro(run)
    return Estimate(answers, judgements, round(total))


def _mean_micro(run: Run, feature: Feature) -> float:
    known = evaluations.mean_micro(_latest(run, "job"))
    if known is not None:
        return known
    prompt = prompts.get(feature.slug, run.arms["candidate"]["version"])
    sizes = [
        sum(len(str(v).encode()) for v in case["input"].values()) for case in run.cases["cases"]
    ]
    return _price(
        prompts.routes(feature, prompt)[0].models[0],
        (len(prompt.system.encode()) + len(prompt.user.encode())) + sum(sizes) / len(sizes),
        prompt.parameters.max_tokens,
    )


def _judging_micro(run: Run) -> float:
    known = evaluations.mean_micro(_latest(run, "judge_job"))
    if known is not None:
        return known
    judge = registry.get("judge")
    prompt = prompts.get("judge", judge.prompt_version)
    sizes = [len(str(case).encode()) for case in run.cases["cases"]]
    size = len(prompt.system.encode()) + sum(sizes) / len(sizes) + len(str(run.cases["about"]))
    return _price(prompts.routes(judge, prompt)[0].models[0], size, prompt.parameters.max_tokens)


def _latest(run: Run, job: Literal["job", "judge_job"]) -> Iterable[UUID]:
    """Return the latest jobs of this kind that runs of the feature had with this provider."""
    known = Sample.objects.filter(
        run__feature=run.feature,
        run__provider=run.provider,
        state=Sample.State.SCORED,
        **{f"{job}__isnull": False},
    )
    return known.order_by("-pk").values_list(job, flat=True)[:LATEST]


def _price(model: str, prompt_bytes: float, max_tokens: int) -> float:
    rates = pricing.price_list(model)[0]
    tokens = prompt_bytes / pricing.BYTES_PER_TOKEN
    return tokens * float(rates.input) + OUTPUT_SHARE * max_tokens * float(rates.output)
