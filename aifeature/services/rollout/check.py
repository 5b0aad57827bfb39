"""The check of everything that is rolled out in steps, once a minute."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from aifeature.services.alerting.check_runs import Found
from aifeature.services.rollout import canaries, ramps
from aifeature.services.rollout.ramp_check import CHECK as TASK

__all__ = ["CHECKS", "TASK", "check"]

logger = logging.getLogger(__name__)

CHECKS: Final[list[tuple[str, Callable[[], Found]]]] = [
    ("ramps", ramps.check),
    ("canaries", canaries.check),
]
"""Name and function of each check, in their order."""


def check() -> Found:
    """Run every check. One that raises does not stop the others, and the result is not `ok`."""
    results: list[str] = []
    is_ok = True
    for name, run in CHECKS:
        try:
            found = run()
        except Exception:
            logger.exception("the check of %s failed", name)
            found = Found(ok=False, result=f"The check of {name} failed.")
        is_ok &= found.ok
        results.append(f"{name}: {found.result}")
    return Found(ok=is_ok, result=" ".join(results))
