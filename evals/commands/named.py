"""Finds the runs, features and suites that the arguments of a command name."""

from __future__ import annotations

from pathlib import Path

from aifeature import registry, suites
from aifeature.services import controls
from aifeature.services.controls.live import LivePrompt
from aifeature.services.promotion import activations
from aifeature.spec import Feature
from evals import suite_checks
from evals.models import Run
from evals.usage import UsageError


def run(name: str) -> Run:
    """Return the run whose id begins with this name.

    Raises:
        UsageError: There is none, or several.
    """
    found = list(Run.objects.filter(pk__startswith=name)) if _is_id(name) else []
    if len(found) != 1:
        many = "Several runs begin with" if found else "There is no run"
        raise UsageError(f"{many} {name!r}. `python -m evals list` shows the runs.")
    return found[0]


def _is_id(name: str) -> bool:
    return bool(name) and set(name) <= set("0123456789abcdef-")


def feature(slug: str) -> Feature:
    """Return a feature with a suite.

    Raises:
        UsageError: There is no such feature, or it has no suite.
    """
    try:
        found = registry.get(slug)
    except registry.UnknownFeatureError:
        known = ", ".join(with_suite())
        raise UsageError(f"There is no feature {slug!r}. With suites there are: {known}.") from None
    if found.suite is None:
        raise UsageError(f"The feature {slug} has no suite: set `suite` in its feature.py.")
    return found


def with_suite() -> list[str]:
    """Return the slugs of all features with a suite."""
    return [slug for slug, feature in registry.all_features().items() if feature.suite]


def baseline(of: Feature) -> str:
    """Return the version that a candidate is compared with: the one that is live by evidence.

    Without one in this code, it is the one that users get, or the active one. In a trial with staff
    that is the candidate itself.
    """
    row = activations.proven_row(of.slug)
    if row and controls.live.has(of, LivePrompt(row.version, row.prompt_hash)):
        return row.version
    return controls.live_version(of) or controls.prompt_version(of)


def suite(of: Feature, *, path: Path | None = None) -> suites.Suite:
    """Return the checked suite of a feature, by default that of the repository.

    Raises:
        UsageError: The suite has problems. The text has one on each line.
    """
    found = suites.load(of, path=path)
    if problems := suite_checks.problems(of, found):
        raise UsageError("\n".join(problems))
    return found
