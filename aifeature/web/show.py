"""A job in words for its user."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from aifeature import registry
from aifeature.models import TERMINAL, CancelledBy, Job, Status
from aifeature.reasons import WaitReason
from aifeature.services.payloads import input_values
from aifeature.services.privacy import retention
from aifeature.spec import Feature, FollowUp
from aifeature.web import citations, result, schema
from aifeature.web.citations import Sentence
from aifeature.web.result import Node

logger = logging.getLogger(__name__)

MINUTE_S: Final = 60


@dataclass(frozen=True, slots=True)
class State:
    """State of a job: a short label, a sentence and the colour of its pill."""

    label: str
    sentence: str
    tone: str


_STATES: Final = {
    Status.QUEUED: State("Waiting", "Your request is queued. It starts automatically.", "wait"),
    Status.RUNNING: State("Working", "The answer is being written.", "live"),
    Status.NEEDS_APPROVAL: State(
        "In review",
        "A person decides before you see the answer, because a mistake here could have serious"
        " consequences.",
        "held",
    ),
    Status.SUCCEEDED: State("Done", "Here is your answer.", "good"),
    Status.FAILED: State("Failed", "This request failed.", "bad"),
    Status.CANCELLED: State("Cancelled", "You cancelled this request.", "off"),
    Status.REJECTED: State(
        "Not released", "A person reviewed the answer and did not release it.", "off"
    ),
}
_SIMPLE: Final = State(
    "Simple answer",
    "Our AI provider is not available at the moment. This is a simple answer made without AI, free"
    " of charge. You can ask again once it is back.",
    "held",
)
_CANCELLED_AFTER_TEXT: Final = (
    "You cancelled this request. The part of the answer that you saw is below."
)
_COUNTS: Final = " It counts towards your budget for today."
_STOPPING: Final = State("Stopping", "You cancelled this request. It ends in a moment.", "wait")
_ENDS: Final = "This request is being stopped."
UNDER_WAY: Final = frozenset({Status.QUEUED, Status.RUNNING})


def state(job: Job) -> State:
    """Return the job's state. The job stores why it waits, failed or was cancelled."""
    status = Status(job.status)
    if status in UNDER_WAY and job.cancel_requested_at is not None:
        return (
            _STOPPING
            if _by_its_user(job)
            else replace(_STOPPING, sentence=job.error_message or _ENDS)
        )
    known = _STATES[status]
    if status is Status.SUCCEEDED:
        return _succeeded(job)
    if status is Status.CANCELLED and job.partial_text:
        counts = _COUNTS if job.charge_micro else ""
        return State(known.label, _CANCELLED_AFTER_TEXT + counts, known.tone)
    if status is Status.QUEUED and job.wait_reason == WaitReason.FEATURE_PAUSED:
        return State("Paused", job.error_message, "held")
    has_reason = status is Status.QUEUED or status in TERMINAL - {Status.SUCCEEDED}
    if has_reason and job.error_message:
        return State(known.label, job.error_message, known.tone)
    return known


def _succeeded(job: Job) -> State:
    known = _SIMPLE if job.degraded else _STATES[Status.SUCCEEDED]
    gone = retention.deletion_notice(job)
    return replace(known, sentence=gone) if gone else known


def is_failure(job: Job) -> bool:
    """Return whether the job ended without an answer and was not cancelled by its user."""
    status = Status(job.status)
    if status is Status.CANCELLED:
        return not _by_its_user(job)
    return status in {Status.FAILED, Status.REJECTED}


def _by_its_user(job: Job) -> bool:
    return job.cancelled_by in {"", CancelledBy.USER}


def label(status: Status) -> str:
    return _STATES[status].label


def took(job: Job, now: datetime) -> timedelta:
    """Return the time from submission to the end, or until now."""
    return max((job.finished_at or now) - job.created_at, timedelta())


def duration(span: timedelta) -> str:
    """Return a duration as text: `4.1 s`, `2 min 5 s`, `1 h 4 min`. Also written in job.js."""
    seconds = span.total_seconds()
    if seconds < MINUTE_S:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), MINUTE_S)
    hours, minutes = divmod(minutes, MINUTE_S)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def feature_of(job: Job) -> Feature | None:
    """Return the job's feature; None if it is no longer in the code."""
    return registry.all_features().get(job.feature)


def title(job: Job) -> str:
    """Return the feature's title, or its slug in words if it is no longer in the code."""
    feature = feature_of(job)
    return feature.title if feature else schema.in_words(job.feature)


def cited(job: Job) -> list[Sentence]:
    """Return the streamed text of a result with its citations; empty if it has none."""
    feature, name = feature_of(job), _cited_in(job)
    if feature is None or name is None or job.result is None:
        return []
    text = str(job.result.get(feature.stream_field, ""))
    return citations.sentences(feature, text, job.result[name])


def _cited_in(job: Job) -> str | None:
    """Return the field of a streamed result that lists its citations; None if it has none."""
    feature = feature_of(job)
    name = feature and citations.field_of(feature)
    if feature is None or not name or not feature.stream_field:
        return None
    if Status(job.status) is not Status.SUCCEEDED or job.result is None:
        return None
    return name if job.result.get(name) else None


def follow_up(job: Job) -> FollowUp | None:
    """Return what the user may do with the output of a job; None if its feature offers nothing."""
    feature = feature_of(job)
    if feature is None or feature.follow_up is None or job.result is None:
        return None
    if Status(job.status) is not Status.SUCCEEDED or job.input is None:
        return None
    try:
        value = input_values.read(feature.input_model, job.input)
        output = feature.output_model.model_validate(job.result)
        offered = feature.follow_up(value, output)
        return offered if isinstance(offered, FollowUp) else None
    except Exception:  # an earlier release stored the job, or the feature's code fails
        logger.exception("feature %s: follow_up failed", feature.slug)
        return None


def answer(job: Job) -> list[Node]:
    """Return the result as nodes, or the text shown before the user cancelled; else empty."""
    if Status(job.status) is Status.CANCELLED and job.partial_text:
        return [Node("text", job.partial_text, stream_label(feature_of(job)) or "Answer")]
    if Status(job.status) is not Status.SUCCEEDED or job.result is None:
        return []
    feature = feature_of(job)
    nodes = result.sections(feature.output_schema if feature else {}, job.result)
    if feature is None:
        return nodes
    apart: set[str | None] = {*feature.hidden}
    if name := _cited_in(job):
        apart |= {feature.stream_field, name}
    return [node for node in nodes if node.name not in apart]


def question(job: Job) -> list[Node]:
    """Return the input as nodes; empty after its retention has ended."""
    if job.input is None:
        return []
    feature = feature_of(job)
    return result.sections(feature.input_model.model_json_schema() if feature else {}, job.input)


def stream_label(feature: Feature | None) -> str | None:
    """Return the heading of the streamed text; None if the feature does not stream."""
    if feature is None or feature.stream_field is None:
        return None
    found: dict[str, Any] = feature.output_schema["properties"][feature.stream_field]
    return schema.label(feature.stream_field, found)
