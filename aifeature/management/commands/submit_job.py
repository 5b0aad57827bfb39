"""`manage.py submit_job FEATURE --user NAME --input JSON`: run a feature from the command line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from aifeature.api.representation import job_out
from aifeature.models import TERMINAL, Job, Status
from aifeature.models.functions import brief
from aifeature.services import jobs
from aifeature.services.jobs.refusals import Refusal
from aifeature.services.payloads import json_values

POLL_S: Final = 0.5
MAX_KEY: Final = 200
"""Characters of an idempotency key, as in the API."""

WITHOUT_WAITING: Final = TERMINAL | {Status.NEEDS_APPROVAL}


class Command(BaseCommand):
    """Submits as the page and the API do: the user's limits, budget and switch apply."""

    help = (
        "Submit a job as a user and wait for its end. Standard output has the job as the API shows"
        " it. The exit code is 0 if there is an answer."
    )
    sleep: Callable[[float], None] = staticmethod(time.sleep)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("feature", help="Its slug.")
        parser.add_argument("--user", required=True, help="The user name whose job it is.")
        parser.add_argument(
            "--input",
            dest="text",
            required=True,
            help='A JSON object like {"document": "..."}, @FILE, or - for standard input.',
        )
        parser.add_argument("--key", help="Idempotency key: a repetition returns the same job.")
        parser.add_argument(
            "--no-wait", action="store_true", help="Print the accepted job and end."
        )

    def handle(
        self, *, feature: str, user: str, text: str, key: str | None, no_wait: bool, **_: Any
    ) -> None:
        """Submit the job.

        Raises:
            CommandError: the input or the user is wrong, the request is refused, or the job ended
                without an answer.
        """
        for text_of in filter(None, (feature, user, key)):
            if json_values.problem(text_of):
                raise CommandError(f"{text_of!a} holds characters that cannot be stored.")
        if key and len(key) > MAX_KEY:
            raise CommandError(f"--key takes 1 to {MAX_KEY} characters.")
        users = get_user_model()
        owner = users.objects.filter(**{users.USERNAME_FIELD: user}, is_active=True).first()
        if owner is None:
            raise CommandError(f"There is no active user named {user!r}.")
        try:
            job = jobs.submit(user=owner, slug=feature, data=_parsed(text), key=key).job
        except Refusal as error:
            raise CommandError(_sentence(error)) from None
        self.stderr.write(f"job {job.id}: accepted")
        if not no_wait:
            try:
                job = self._end(job)
            except (DatabaseError, KeyboardInterrupt) as error:
                why = "" if isinstance(error, KeyboardInterrupt) else f" ({brief(error)})"
                raise CommandError(
                    f"No longer waiting{why}. The job {job.id} goes on: see the user's history."
                ) from None
        self.stdout.write(job_out(job).model_dump_json(indent=2))
        if not no_wait and job.status != Status.SUCCEEDED:
            raise CommandError(job.error_message or _without_answer(job))

    def _end(self, job: Job) -> Job:
        """Print each new state of the job, and return it when it waits for nothing but people."""
        shown = ""
        while True:
            state = " ".join(filter(None, [f"{job.status}.", job.error_message]))
            if state != shown:
                shown = state
                self.stderr.write(f"job {job.id}: {state}")
            if job.status in WITHOUT_WAITING:
                return job
            self.sleep(POLL_S)
            job = jobs.get(user=job.user, job_id=job.id)


def _parsed(text: str) -> Any:
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"The input cannot be read: {error}") from None
    try:
        return json_values.parse(text)
    except json_values.NotJsonError as error:
        raise CommandError(
            f'--input is not valid JSON: {error} Give an object like {{"document": "..."}},'
            " @FILE, or - for standard input."
        ) from None


def _sentence(error: Refusal) -> str:
    problems = [f"{each['field']}: {each['message']}" for each in error.errors]
    retry = f"Try again in {error.retry_after_s} s." if error.retry_after_s else ""
    return "\n".join([f"{error.code}: {error.detail}", *problems, *filter(None, [retry])])


def _without_answer(job: Job) -> str:
    if job.status == Status.NEEDS_APPROVAL:
        until = f"{job.approval_expires_at:%Y-%m-%d %H:%M}"
        return f"A person has to decide about this answer by {until} UTC."
    return f"The job ended as {job.status}, without an answer."
