"""Runs a claimed job to its outcome, and makes every provider call with its ledger entries.

Public: `runner` and `lease` for worker processes, `calls` for calls that belong to no job.

Size limit: 2,100 lines.
"""

from aifeature.services.execution import calls, lease, runner

__all__ = ["calls", "lease", "runner"]
