"""Erasure of a user's identity and content, with a proof that no sum has changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from aifeature.models import ApiToken, Attempt, ControlChange, Feedback, Job
from aifeature.services.controls import GLOBAL
from aifeature.services.privacy import records, sums
from aifeature.services.stores import redis_clients
from aifeature.services.streams import entries

if TYPE_CHECKING:
    from django.contrib.auth.models import User

CHECK_NAME: Final = "manage.py erase_user"
BATCH: Final = 500

TIMEOUT_S: Final = 5.0
STREAMS_OF: Final = timedelta(seconds=2 * entries.TTL_S)
"""Age of ended jobs after which their streams have expired, with an hour to spare."""

BLANK: Final = "erased"


class ErasureError(Exception):
    """Nothing was erased. The message is for the operator."""


def check_reason(user: User, reason: str) -> None:
    """Check the reason, which is kept forever.

    Raises:
        ErasureError: The reason is empty or names the user.
    """
    if not reason.strip():
        raise ErasureError("An erasure needs a reason: who asked for it, and when.")
    if records.is_named(user, reason):
        raise ErasureError("The reason is kept forever: leave the person's name out of it.")


def erase(user: User, *, reason: str, report: Callable[[str], None]) -> bool:
    """Blank the user's data in one transaction. Return whether there was anything left to erase.

    The reason is for the audit log. `report` gets a sentence of progress after each batch.

    Raises:
        ErasureError: The account or a job is open, the new name is taken, or a sum of the ledger
            would have changed.
        django.db.OperationalError: Another session changed the same rows. Try again.
    """
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            # With one snapshot, spend of other sessions is in neither sum.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        _check(user)
        before = sums.of_everything()
        jobs = _erase_jobs(user, report)
        copies = _erase_copies(user)
        # A list, so that `any` does not skip a step.
        changed = any(
            [
                *(jobs, copies, _erase_calls(user), _erase_events(user), _erase_feedback(user)),
                *(_erase_traces(user), _rename(user)),
            ]
        )
        if (after := sums.of_everything()) != before:
            raise ErasureError(
                "The sums of the ledger would have changed, so nothing was erased. This is a"
                f" defect, please report it: {before} would have become {after}."
            )
        if changed:
            ControlChange.objects.create(
                feature=GLOBAL,
                field="erased_account",
                new=f"account {user.pk}, content of {jobs} jobs",
                reason=reason,
                check_name=CHECK_NAME,
            )
    return changed


def forget_streams(user: User) -> int:
    """Delete the text streams of the user's latest jobs from Redis. Return their number.

    Raises:
        redis.RedisError: Redis is unavailable. The streams expire within an hour of being written.
    """
    recent = Job.objects.filter(user=user, finished_at__gte=Now() - STREAMS_OF)
    keys = [
        entries.key(job, epoch)
        for job, last in recent.values_list("pk", "epoch")
        for epoch in range(1, last + 1)
    ]
    with redis_clients.connect(TIMEOUT_S) as client:
        batches = (keys[start : start + BATCH] for start in range(0, len(keys), BATCH))
        return sum(client.delete(*batch) for batch in batches)


def _check(user: User) -> None:
    people = get_user_model().objects
    if people.select_for_update().get(pk=user.pk).is_active:
        raise ErasureError("The account is open: close it first.")
    name = records.erased_name(user)
    if people.filter(username=name).exclude(pk=user.pk).exists():
        raise ErasureError(f"Another account is named {name}: rename that one first.")
    if records.open_jobs(user).exists():
        raise ErasureError("A job of this account has not ended: cancel it first.")


def _erase_jobs(user: User, report: Callable[[str], None]) -> int:
    total = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute("SELECT aif_erase_jobs(%s, %s)", [user.pk, BATCH])
            done: int = cursor.fetchone()[0]
        if not done:
            return total
        total += done
        report(f"{total} jobs blanked.")


def _erase_copies(user: User) -> int:
    """Blank the jobs in which shadows answered and compared the user's requests."""
    total = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute("SELECT aif_erase_shadows(%s, %s)", [user.pk, BATCH])
            done: int = cursor.fetchone()[0]
        total += done
        if done < BATCH:
            return total


def _erase_calls(user: User) -> int:
    """Blank calls without a job, and any content left in others."""
    content = Q(request__isnull=False) | ~Q(output="") | ~Q(error_detail="")
    calls = Attempt.objects.filter(content, user=user)
    return calls.update(request=None, output="", error_detail="")


def _erase_events(user: User) -> int:
    return records.guard_events(user).exclude(evidence="").update(evidence="")


def _erase_feedback(user: User) -> int:
    """Blank feedback that was not blanked with its job. Ratings and reasons are kept as figures."""
    content = Q(answer__isnull=False) | ~Q(comment="")
    return Feedback.objects.filter(content, user=user).update(answer=None, comment="")


def _erase_traces(user: User) -> int:
    tokens = ApiToken.objects.filter(user=user).exclude(name=BLANK)
    done = records.log_about(user).exclude(object_repr=BLANK).update(object_repr=BLANK)
    done += records.log_naming(user).update(change_message=BLANK)
    done += tokens.update(name=BLANK)
    done += sum(rows.delete()[0] for rows in records.sign_ins(user))
    done += records.betas(user).delete()[0]
    # The audit log keeps each block and override, by user id.
    done += records.blocks(user).delete()[0]
    done += records.rate_overrides(user).delete()[0]
    done += records.refused_submissions(user).delete()[0]
    for control in records.invitations(user):
        control.beta_users.remove(user)
        done += 1
    return done


def _rename(user: User) -> bool:
    row = get_user_model().objects.get(pk=user.pk)
    new = {
        "username": records.erased_name(user),
        "first_name": "",
        "last_name": "",
        "email": "",
        "last_login": None,
        "is_staff": False,
        "is_superuser": False,
    }
    changed = any(getattr(row, name) != value for name, value in new.items())
    for name, value in new.items():
        setattr(row, name, value)
    row.save(update_fields=list(new))
    row.groups.clear()
    row.user_permissions.clear()
    return changed
