"""Jobs to begin with."""

from __future__ import annotations

from tests.integration.jobs.conftest import claimed, make_call, make_job

__all__ = ["claimed", "make_call", "make_job"]
