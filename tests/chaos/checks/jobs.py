"""Jobs: none is lost or doubled, each ends, and its client receives that end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.chaos.checks.violation import Promise, Violation, check
from tests.chaos.evidence import TERMINAL, Evidence


@check
def accepted_jobs_have_rows(evidence: Evidence) -> Iterator[Violation]:
    """Each 202 has a row, with that user and that key."""
    for entry in evidence.requests:
        if entry.action != "submit" or entry.http != 202:
            continue
        row = evidence.job_by_id.get(entry.job)
        if row is None:
            yield Violation(Promise.LOST, f"user {entry.user} got 202, no row", entry.job)
        elif (row.user_id, row.key) != (entry.user, entry.key):
            text = f"the row is of user {row.user_id}, key {row.key}; sent by {entry.user}"
            yield Violation(Promise.LOST, f"{text}, key {entry.key}", entry.job)


@check
def all_jobs_ended(evidence: Evidence) -> Iterator[Violation]:
    """Each row is terminal."""
    for job in evidence.jobs:
        if job.status not in TERMINAL:
            yield Violation(Promise.LOST, f"still {job.status}", job.id)


@check
def keys_made_one_job(evidence: Evidence) -> Iterator[Violation]:
    """Each key of a user has one row, and every answer to it names the same job."""
    made: defaultdict[tuple[int, str], set[str]] = defaultdict(set)
    for entry in evidence.requests:
        if entry.key and entry.job:
            made[entry.user, entry.key].add(entry.job)
    for job in evidence.jobs:
        made[job.user_id, job.key or job.id].add(job.id)
    for (user, key), jobs in made.items():
        if len(jobs) > 1:
            text = f"key {key} of user {user} made {', '.join(sorted(jobs))}"
            yield Violation(Promise.DOUBLED, text, min(jobs))


@check
def other_bodies_were_refused(evidence: Evidence) -> Iterator[Violation]:
    """The answer to a used key with another body is 409."""
    for entry in evidence.requests:
        if entry.action == "conflict" and entry.http not in {0, 409, 429, 503}:
            text = f"key {entry.key} with another body: {entry.http}"
            yield Violation(Promise.DOUBLED, text, entry.job)


@check
def clients_received_the_end(evidence: Evidence) -> Iterator[Violation]:
    """Each client received the end of its job, and from then on only the state of the row."""
    for job in evidence.jobs:
        entries = evidence.requests_of.get(job.id, [])
        ends = [entry for entry in entries if entry.body is not None]
        if not ends:
            yield Violation(Promise.ANSWER, "its client received no end", job.id)
        for entry in ends:
            body = entry.body or {}
            shown = (body["status"], body["result"], body["attempts"], body["cost_usd"])
            usd = f"{job.charge_micro // 1_000_000}.{job.charge_micro % 1_000_000:06d}"
            result = job.result if job.status == "succeeded" else None
            stored = (job.status, result, job.attempts, usd)
            if shown != stored:
                text = f"{entry.action} showed {shown}, the row has {stored}"
                yield Violation(Promise.ANSWER, text, job.id)
        first = min((entry.at for entry in ends), default=float("inf"))
        for entry in entries:
            if entry.status and entry.begun > first and entry.status not in TERMINAL:
                text = f"shown as {entry.status} after its client had received its end"
                yield Violation(Promise.ANSWER, text, job.id)


@check
def ends_have_reasons(evidence: Evidence) -> Iterator[Violation]:
    """A job that failed has an error code and a message. A job that succeeded has a result."""
    for job in evidence.jobs:
        if job.status == "succeeded" and not job.result:
            yield Violation(Promise.ANSWER, "succeeded without a result", job.id)
        if job.status == "failed" and not (job.error_code and job.error_message):
            yield Violation(Promise.ANSWER, "failed without a reason", job.id)
        if job.error_code == "internal_error":
            yield Violation(Promise.ANSWER, "failed by an internal error", job.id)
