"""Streams: what a reader had on the screen in the end is the stored text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.chaos.checks.violation import Promise, Violation
from tests.chaos.evidence import Evidence

FIELD: Final = "summary"


def every_stream_ended_in_the_stored_text(evidence: Evidence) -> Iterator[Violation]:
    """Who was told `result` has the stored text; who was told `error`, a job without result.

    Of a cancelled answer the screen keeps the part that is stored.
    """
    for entry in evidence.diary:
        if entry.deed != "streamed" or not entry.last_event:
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
            text = f"{entry.text!r} on the screen, stored of it {job.partial_text!r}"
            yield Violation(Promise.STREAM, text, job.id)


def epochs_of_a_stream_only_rise(evidence: Evidence) -> Iterator[Violation]:
    """An event of an earlier run never follows one of a later run."""
    for job, entries in evidence.entries_of.items():
        last = 0
        for entry in entries:
            if entry.deed != "streamed":
                continue
            for event_id in entry.ids:
                epoch = int(event_id.partition("-")[0])
                if epoch < last:
                    text = f"after text of epoch {last} came text of epoch {epoch}"
                    yield Violation(Promise.STALE, text, job)
                last = max(last, epoch)


def every_reader_was_told_the_end(evidence: Evidence) -> Iterator[Violation]:
    """Who began to read a stream was told its end in one of its connections."""
    for job, entries in evidence.entries_of.items():
        streamed = [entry for entry in entries if entry.deed == "streamed"]
        if streamed and not any(entry.last_event for entry in streamed):
            yield Violation(Promise.STREAM, "no connection told the end", job)


CHECKS: Final = (
    every_stream_ended_in_the_stored_text,
    epochs_of_a_stream_only_rise,
    every_reader_was_told_the_end,
)
