"""Starting the real processes on servers of their own, for what measures and tests the whole."""

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
    """Who may use the system under test."""

    users: tuple[int, ...]
    tokens: tuple[str, ...]
    """API tokens, of the users in the same order."""


def environment(found: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a process of ours; `found` leads to the servers."""
    inherited = {name: value for name, value in os.environ.items() if name in INHERITED}
    return {
        **inherited,
        **stand_in_settings(),
        **found,
        "DJANGO_SETTINGS_MODULE": "project.settings",
    }


def set_up(env: Mapping[str, str], *, users: int, user_budget_usd: str) -> Seed:
    """Migrate the database, make users with tokens, and open the feature to them.

    Args:
        env: Of `environment`.
        users: How many.
        user_budget_usd: What each may be charged a day, as a decimal.

    Raises:
        SetUpError: with the end of what the commands wrote.
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
    """One component as the local stack runs it."""
    found = django_components(logs=logs, ports={"web": 0, "flower": 0, **ports}, flower_password="")
    return next(component for component in found if component.name == name)


def changed(argv: Sequence[str], options: Mapping[str, str]) -> list[str]:
    """The command line with other values behind some of its options."""
    made = list(argv)
    for option, value in options.items():
        made[made.index(option) + 1] = value
    return made
