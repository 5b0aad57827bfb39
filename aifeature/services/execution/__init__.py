"""Runs claimed jobs, and makes every provider call with its ledger entries.

Public: `runner` and `lease` for worker processes, `calls` for calls without a job.

Size limit: 2,100 lines.
"""

from aifeature.services.execution import calls, lease, runner

__all__ = ["calls", "lease", "runner"]
