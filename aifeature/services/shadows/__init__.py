"""Shadows: a candidate answers live requests again, and a judge compares the two answers.

No user sees the candidate's answers, so a shadow needs no evidence. Its report never replaces
evidence. Its jobs are of the origin `shadow`: workers of the queue `evals` run them after the
user's answer was stored, a budget of its own pays, and no figure about users has them.

Public: `driver`, `report`, `running`.

Size limit: 900 lines.
"""

from aifeature.services.shadows import driver, report, running

__all__ = ["driver", "report", "running"]
