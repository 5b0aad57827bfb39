"""A user's jobs: submit, read, list, cancel and requeue them.

Public: the functions below, `admission` (may a user submit now), `guarding` (the
guards of an input), `refusals` (the errors), `refused_counts` (their counts) and `usage` (a user's
requests by day, and what is left).

Size limit: 1,150 lines.
"""

from aifeature.services.jobs import admission, guarding, refusals, refused_counts, usage
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
from aifeature.services.jobs.validation import validated

__all__ = [
    "CannotRequeueError",
    "Page",
    "Submission",
    "admission",
    "cancel",
    "get",
    "guarding",
    "page",
    "refusals",
    "refused_counts",
    "requeue",
    "submit",
    "usage",
    "validated",
    "visible_feature",
    "visible_features",
]
