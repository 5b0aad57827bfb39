"""Each version of a prompt is better than the one before, by the general faults of the sandbox."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from aifeature import registry, suites
from evals.harness import conclude, drive, plan
from evals.models import Sample
from tests.integration.evals.test_harness import DOLLAR, driven
from tests.sandbox_server import SandboxServer

pytestmark = pytest.mark.usefixtures("committed")

CASES = 25


def by_case(what: str, sample: Sample) -> str:
    """The same marker for a case in each run of this test, so that chance decides nothing."""
    return random.Random(f"{what}:{sample.case}:{sample.repeat}").randbytes(8).hex()


def test_a_better_prompt_of_summarize_passes_more_cases(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.set_faults(error_rates=1.0)
    monkeypatch.setattr(drive, "_nonce", by_case)
    feature = registry.get("summarize")
    whole = suites.load(feature)
    suite = replace(whole, cases=whole.cases[:CASES])
    rates: list[Any] = []
    for candidate, baseline in (("v2", "v1"), ("v3", "v2")):
        wanted = plan.Wanted(
            feature=feature,
            suite=suite,
            candidate=candidate,
            baseline=baseline,
            repeats=1,
            cap_micro=50 * DOLLAR,
        )
        run = driven(plan.start(wanted))
        conclude.conclude(run)
        rates += [conclude.rate(run, plan.BASELINE), conclude.rate(run, plan.CANDIDATE)]
    v1, v2, again, v3 = rates
    assert None not in rates
    assert v1 < v2 < v3, rates
    assert again == v2, "its outputs are those of the first run"
