"""Chooses the size of new runs, prints their prices, and starts them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from django.db import transaction

from aifeature.money import MICRO_PER_USD
from aifeature.spec import Feature
from evals import ready
from evals.commands import named
from evals.harness import costs, plan, repeats
from evals.models import Run
from evals.report import words
from evals.statistics import power
from evals.usage import UsageError

AGREED: Final = "yes"
CAP_USD: Final = Decimal(10)


def check_ready() -> None:
    """Raise UsageError if runs cannot be driven here."""
    if problem := ready.missing():
        raise UsageError(f"{problem} {ready.HINT}.")


def cap_micro(options: argparse.Namespace) -> int:
    """Return the most that a new run may cost, in micro-dollars."""
    return int((options.max_usd or CAP_USD) * MICRO_PER_USD)


def choose(
    feature: Feature, candidate: str, baseline: str | None, options: argparse.Namespace
) -> plan.Wanted:
    """Return the wanted run of a feature, with the number of repeats that it needs."""
    suite = named.suite(feature, path=options.suite)
    wanted = plan.Wanted(
        feature=feature,
        candidate=candidate,
        baseline=baseline,
        repeats=options.repeats or repeats.UNKNOWN,
        cap_micro=cap_micro(options),
        suite=suite,
    )
    return wanted if options.repeats else _with_repeats(wanted, reuse=not options.no_reuse)


def _with_repeats(wanted: plan.Wanted, *, reuse: bool) -> plan.Wanted:
    """Return the wanted run with as many repeats as its answers need, and print why."""
    choice = repeats.choose(wanted.feature, wanted.suite)
    chosen = replace(wanted, repeats=choice.repeats)
    for rates in choice.rates:
        price = plan.estimate(replace(wanted, repeats=rates.repeats), reuse=reuse).micro
        mark = "  <- chosen" if rates.repeats == choice.repeats else ""
        print(
            f"  {words.count(rates.repeats, 'repeat')}, about {costs.dollars(price)}:"
            f" {power.badge(rates)}{mark}"
        )
    number = words.count(choice.repeats, "repeat")
    print(f"  {wanted.feature.slug}: {number} for each case. {choice.why}")
    return chosen


def start(all_wanted: Sequence[plan.Wanted], options: argparse.Namespace) -> list[Run]:
    """Print the prices, and store the runs, all or none."""
    reuse = not options.no_reuse
    estimates = [plan.estimate(wanted, reuse=reuse) for wanted in all_wanted]
    for wanted, estimate in zip(all_wanted, estimates, strict=True):
        for sentence in plan.suite_changes(wanted.suite):
            print(f"{wanted.feature.slug}: {sentence}")
        against = f" against {wanted.baseline}" if wanted.baseline else ""
        print(
            f"{wanted.feature.slug} {wanted.candidate}{against}:"
            f" {words.count(len(wanted.suite.cases), 'case')},"
            f" {words.count(wanted.repeats, 'repeat')}, {calls(estimate)},"
            f" about {costs.dollars(estimate.micro)} (at most {costs.dollars(wanted.cap_micro)})"
        )
    if options.ask:
        together = costs.dollars(sum(estimate.micro for estimate in estimates))
        print(f"Together about {together}, charged to your key.")
        if not agreed():
            raise UsageError("Nothing was started, and nothing was spent.")
    with transaction.atomic():
        runs = [plan.start(wanted, reuse=reuse) for wanted in all_wanted]
    for run in runs:
        print(f"{run.feature}: run {run.pk}", flush=True)
    return runs


def calls(estimate: costs.Estimate) -> str:
    """Return the number of calls to make, in words."""
    by_judge = f" ({estimate.judgements:,} by the judge)" if estimate.judgements else ""
    return f"{words.count(estimate.answers + estimate.judgements, 'call')} to make{by_judge}"


def agreed() -> bool:
    """Return whether a person at the terminal agrees to start. Without a terminal: no."""
    try:
        return input(f"Type {AGREED} to start: ").strip() == AGREED
    except EOFError:  # no terminal
        return False
