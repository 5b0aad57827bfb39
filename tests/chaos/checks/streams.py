"""Streams: the last text on a reader's screen is the stored text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.chaos.checks.violation import Promise, Violation, check
from tests.chaos.evidence import Evidence

FIELD: Final = "summary"


@check
def streams_end_with_the_stored_text(evidence: Evidence) -> Iterator[Violation]:
    """A stream that ends with `result` showed the stored text. One with `error` has no result.

    For a cancelled answer the screen shows the stored part.
    """
    for entry in evidence.requests:
        if entry.action != "streamed" or not entry.last_event:
            continue
        job = evidence.job_by_id.get(entry.job)
        if job is None:
            yield Violation(Promise.STREAM, "a stream of no job", entry.job)
            continue
        if (entry.last_event == "result") != (job.status == "succeeded"):
            text = f"the stream ended with {entry.last_event}, the job is {job.status}"
            yield Violation(Promise.STREAM, text, job.id)
        elif job.status == "succeeded" and entry.text != (job.result or {}).get(FIELD):
            text = f"{entry.text!r} on the screen, stored {(job.result or {}).get(FIELD)!r}"
            yield Violation(Promise.STREAM, text, job.id)
        elif job.partial_text and entry.text != job.partial_text:
            text = f"{entry.text!r} on the screen, the stored part is {job.partial_text!r}"
            yield Violation(Promise.STREAM, text, job.id)


@check
def epochs_of_streams_only_rise(evidence: Evidence) -> Iterator[Violation]:
    """An event of an earlier run never follows one of a later run."""
    for job, entries in evidence.requests_of.items():
        last = 0
        for entry in entries:
            if entry.action != "streamed":
                continue
            for event_id in entry.ids:
                epoch = int(event_id.partition("-")[0])
                if epoch < last:
                    text = f"after text of epoch {last} came text of epoch {epoch}"
                    yield Violation(Promise.STALE, text, job)
                last = max(last, epoch)


@check
def every_reader_received_the_end(evidence: Evidence) -> Iterator[Violation]:
    """Each reader of a stream received its end in one of its connections."""
    for job, entries in evidence.requests_of.items():
        streamed = [entry for entry in entries if entry.action == "streamed"]
        if streamed and not any(entry.last_event for entry in streamed):
            yield Violation(Promise.STREAM, "no connection sent the end", job)
