"""A user's jobs: submit, read, list, cancel and requeue them.

Public: the functions below, `admission` (may a user submit now) and `refusals` (the errors).

Size limit: 750 lines.
"""

from aifeature.services.jobs import admission, refusals
from aifeature.services.jobs.lifecycle import (
    CannotRequeueError,
    Page,
    Submission,
    cancel,
    get,
    page,
    requeue,
    submit,
    validated,
    visible_feature,
    visible_features,
)

__all__ = [
    "CannotRequeueError",
    "Page",
    "Submission",
    "admission",
    "cancel",
    "get",
    "page",
    "refusals",
    "requeue",
    "submit",
    "validated",
    "visible_feature",
    "visible_features",
]
