"""Fixtures of the integration tests, and real processes."""

from __future__ import annotations

from tests.chaos.real_processes import processes
from tests.integration.conftest import (
    _fresh_control_cache,
    _fresh_gates,
    _patient_with_redis,
    _sandbox_server,
    ada,
    bob,
    committed,
    context,
    live_prompt,
    opened,
    sandbox,
)
from tests.integration.job_rows import make_job

__all__ = [
    "_fresh_control_cache",
    "_fresh_gates",
    "_patient_with_redis",
    "_sandbox_server",
    "ada",
    "bob",
    "committed",
    "context",
    "live_prompt",
    "make_job",
    "opened",
    "processes",
    "sandbox",
]
