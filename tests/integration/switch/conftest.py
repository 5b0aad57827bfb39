"""Jobs to begin with."""

from __future__ import annotations

from tests.integration.jobs.conftest import make_call, make_job

__all__ = ["make_call", "make_job"]
