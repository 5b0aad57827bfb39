"""Evaluations with a real key: show the price, wait for a yes, and run.

`python -m evals.local --live python -m evals.live [FEATURE...]` is `make evals-live`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import django

if TYPE_CHECKING:
    from evals.harness import plan

REPEATS: Final = 3
CAP_USD: Final = 5
AGREED: Final = "yes"


def main(arguments: list[str], *, ask: Callable[[str], str] = input) -> int:
    """Run the suites after a person has agreed to the price. Return the exit code."""
    from evals import cli, local  # noqa: PLC0415 (they need the apps loaded)
    from evals.harness import costs, plan  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="make evals-live", description=__doc__)
    parser.add_argument("features", nargs="*", metavar="FEATURE", help="Default: all with a suite.")
    parser.add_argument("--repeats", "-n", type=int, default=REPEATS, choices=range(1, 11))
    parser.add_argument("--max-usd", type=float, default=CAP_USD, help="For each feature.")
    options = parser.parse_args(arguments)
    if problem := local.why_not_live(os.environ):
        print(problem, file=sys.stderr)
        return cli.WRONG
    total = 0
    try:
        for wanted in _wanted(options):
            price = plan.price_micro(wanted)
            total += price
            against = f" against {wanted.baseline}" if wanted.baseline else ""
            print(
                f"{wanted.feature.slug} {wanted.candidate}{against}: {len(wanted.suite.cases)}"
                f" cases, {wanted.repeats} repeats, about {costs.dollars(price)}"
            )
    except (ValueError, plan.PlanError) as error:
        print(error, file=sys.stderr)
        return cli.WRONG
    print(f"Together about {costs.dollars(total)}, which the provider will charge to your key.")
    try:
        answer = ask(f"Type {AGREED} to start: ")
    except EOFError:  # no terminal
        answer = ""
    if answer.strip() != AGREED:
        print("Nothing was started, and nothing was spent.", file=sys.stderr)
        return cli.WRONG
    limits = ["--repeats", str(options.repeats), "--max-usd", str(options.max_usd)]
    return cli.main(["run", *options.features, *limits])


def _wanted(options: argparse.Namespace) -> list[plan.Wanted]:
    """Return the runs that `python -m evals run` will start with these options."""
    from aifeature import money, prompts, registry, suites  # noqa: PLC0415
    from aifeature.services import controls  # noqa: PLC0415
    from evals.harness import plan  # noqa: PLC0415

    known = {slug: each for slug, each in registry.all_features().items() if each.suite}
    if unknown := set(options.features) - known.keys():
        names = ", ".join(sorted(unknown))
        raise ValueError(f"There is no suite of {names}. There are: {', '.join(known)}.")
    found = []
    for slug in options.features or known:
        candidate, active = prompts.versions(slug)[-1], controls.prompt_version(known[slug])
        found.append(
            plan.Wanted(
                feature=known[slug],
                candidate=candidate,
                baseline=active if active != candidate else None,
                repeats=options.repeats,
                cap_micro=round(options.max_usd * money.MICRO_PER_USD),
                suite=suites.load(known[slug]),
            )
        )
    return found


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    sys.exit(main(sys.argv[1:]))
