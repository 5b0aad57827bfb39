"""A user's jobs: submit, read, list, cancel and requeue them.

Public: the functions below, `admission` (may a user submit now), `refusals` (the errors), and
`evaluations`, jobs of no user.

Size limit: 750 lines.
"""

from aifeature.services.jobs import admission, evaluations, refusals
from aifeature.services.jobs.lifecycle import (
    CannotRequeueError,
    Page,
    Submission,
    cancel,
    get,
    page,
    requeue,
    submit,
    visible_feature,
    visible_features,
)

__all__ = [
    "CannotRequeueError",
    "Page",
    "Submission",
    "admission",
    "cancel",
    "evaluations",
    "get",
    "page",
    "refusals",
    "requeue",
    "submit",
    "visible_feature",
    "visible_features",
]
