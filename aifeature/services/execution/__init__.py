"""Runs claimed jobs, and makes every provider call with its ledger entries.

Public: `Runner` and `worker_context` for worker processes, `calls` for calls without a job.

Size limit: 2,700 lines.
"""

from aifeature.services.execution import calls, worker_context
from aifeature.services.execution.runner import Runner

__all__ = ["Runner", "calls", "worker_context"]
