"""`manage.py erase_user NAME --reason "..."`: erase a person and keep all figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from redis.exceptions import RedisError

from aifeature.models.functions import brief
from aifeature.services.privacy import closing, erasure, records
from aifeature.services.privacy.closing import StillRunningError
from aifeature.services.privacy.erasure import ErasureError

if TYPE_CHECKING:
    from django.contrib.auth.models import User

WAIT_S = 120
"""Longer than the default lease and the time until a sweep detects its end."""


class Command(BaseCommand):
    """Shows what it will do and requires confirmation. A second run resumes where it stopped."""

    help = (
        "Erase a person: close the account, end their jobs, delete their inputs and results, and"
        " remove their name. No row of a job or of the ledger is deleted, and no sum changes."
        " It cannot be undone; see deploy/runbooks/erase-a-person.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument(
            "--reason", required=True, help="Who requested it and when, without the name. Kept."
        )
        parser.add_argument("--yes", action="store_true", help="Skip the confirmation.")
        parser.add_argument(
            "--wait", type=float, default=WAIT_S, help="Seconds to wait for running jobs to end."
        )

    def handle(self, *, username: str, reason: str, yes: bool, wait: float, **_: Any) -> None:
        user = _account(username)
        try:
            erasure.check_reason(user, reason)
        except ErasureError as error:
            raise CommandError(str(error)) from None
        named_in = records.mentions(user)
        self._announce(user)
        if not yes and input(f"Type {username} to erase this person: ") != username:
            raise CommandError("Not confirmed: nothing was changed.")
        changed = self._carry_out(user, reason=reason, wait_s=wait)
        self._forget_streams(user)
        if named_in:
            self.stdout.write(
                f"The name or address was typed into records that stay: {', '.join(named_in)}."
            )
        self.stdout.write(
            f"Erased: the account is now {records.erased_name(user)}."
            if changed
            else f"Nothing was left to erase of {records.erased_name(user)}."
        )

    def _announce(self, user: User) -> None:
        found = records.find(user)
        self.stdout.write(
            f"Account {user.pk}, {user.get_username()}, has\n"
            f"  {found.jobs} jobs, {found.open_jobs} of them open: these are cancelled\n"
            f"  content of {found.jobs_with_content} jobs in {found.calls} provider calls:"
            " deleted; tokens, times and cost stay\n"
            f"  {found.valid_tokens} valid API tokens: revoked\n"
            f"  {found.sessions} sessions and {found.sign_ins} records of sign-ins: deleted\n"
            f"  {found.invitations} invitations to features: withdrawn\n"
            f"  {found.betas} betas that they joined, and {found.blocks} blocks: deleted\n"
            f"  {found.rate_overrides} rates of their own: deleted\n"
            f"  {found.guard_events} guard events: their evidence is deleted\n"
            f"  {found.ratings} ratings of answers: comments and copies of answers are deleted\n"
            f"  {found.shadow_pairs} requests that a candidate answered again: copies are blanked\n"
            f"The account is closed and becomes {records.erased_name(user)}. This cannot be undone."
        )

    def _carry_out(self, user: User, *, reason: str, wait_s: float) -> bool:
        try:
            closing.close(user)
            closing.end_jobs(user, wait_s=wait_s, report=self.stdout.write)
            return erasure.erase(user, reason=reason, report=self.stdout.write)
        except StillRunningError as error:
            raise CommandError(
                f"{error}. The account is closed, but its content is not erased yet. A frozen"
                " worker's job ends when its lease expires: then run the same command again."
            ) from None
        except ErasureError as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(
                f"The database failed: {brief(error)}. This step erased nothing. Run the same"
                " command again."
            ) from None

    def _forget_streams(self, user: User) -> None:
        try:
            erasure.forget_streams(user)
        except RedisError as error:
            self.stderr.write(
                f"Redis is unavailable ({type(error).__name__}): texts of the last hour stay there"
                " until they expire, an hour after they were written. To delete them earlier, run"
                f" the command for {records.erased_name(user)} when Redis is available."
            )


def _account(username: str) -> User:
    users = get_user_model()
    user = users.objects.filter(**{users.USERNAME_FIELD: username}).first()
    if user is None:
        raise CommandError(
            f"There is no user named {username!r}. An erased account is named erased-<id>; the"
            " audit log has the id."
        )
    return user
