"""Fixtures of the tests that restart processes."""

from __future__ import annotations

from tests.chaos.real_processes import processes
from tests.integration.conftest import (
    _fresh_control_cache,
    _fresh_gates,
    _patient_with_redis,
    _sandbox_server,
    ada,
    committed,
    context,
    opened,
    sandbox,
)

__all__ = [
    "_fresh_control_cache",
    "_fresh_gates",
    "_patient_with_redis",
    "_sandbox_server",
    "ada",
    "committed",
    "context",
    "opened",
    "processes",
    "sandbox",
]
