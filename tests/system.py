"""Start the real processes on their own servers, for benchmarks and system tests."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from project.stack.children import PYTHON
from project.stack.components import Component, django_components
from project.stack.local_dir import CHECKOUT
from project.stack.throwaway import stand_in_settings

SETUP_S = 180.0
INHERITED = frozenset({"PATH", "HOME", "TMPDIR", "TZ"})


class SetUpError(Exception):
    """The database could not be migrated or filled."""


@dataclass(frozen=True, slots=True)
class Seed:
    """The users of the system under test."""

    users: tuple[int, ...]
    tokens: tuple[str, ...]
    """API tokens, in the order of the users."""


def environment(found: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a process. `found` has the addresses of the servers."""
    inherited = {name: value for name, value in os.environ.items() if name in INHERITED}
    return {
        **inherited,
        **stand_in_settings(),
        **found,
        "DJANGO_SETTINGS_MODULE": "project.settings",
    }


def set_up(env: Mapping[str, str], *, users: int, user_budget_usd: str) -> Seed:
    """Migrate the database, create users with tokens, and open the feature to them.

    Args:
        env: The result of `environment`.
        users: The number of users.
        user_budget_usd: Each user's cap on charges per day, as a decimal.

    Raises:
        SetUpError: with the end of the output.
    """
    done = subprocess.run(
        [PYTHON, "-m", "tests.seed", str(users), user_budget_usd],
        env=dict(env),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=SETUP_S,
    )
    if done.returncode:
        raise SetUpError(f"the database could not be set up:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return Seed(tuple(found["users"]), tuple(found["tokens"]))


def component(name: str, *, logs: Path, **ports: int) -> Component:
    """Return one component of the local stack."""
    found = django_components(logs=logs, ports={"web": 0, "flower": 0, **ports}, flower_password="")
    return next(component for component in found if component.name == name)


def changed(argv: Sequence[str], options: Mapping[str, str]) -> list[str]:
    """Return the command line with other values of some options."""
    made = list(argv)
    for option, value in options.items():
        made[made.index(option) + 1] = value
    return made
