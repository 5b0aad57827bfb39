"""The jobs of a shadow: the candidate's copy of a request, and the judge's two."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from django.contrib.auth import get_user_model

from aifeature import registry
from aifeature.models import Job, Origin, Shadow, ShadowPair, submission
from aifeature.services import controls, evaluations
from aifeature.services.jobs import validated
from aifeature.services.jobs.refusals import InvalidInput

if TYPE_CHECKING:
    from django.contrib.auth.models import User

JUDGE: Final = "compare"

DEADLINE_S: Final = 900.0
"""Seconds from the storage of a copy to its end. Without a worker it then fails by itself."""


def lock_person(user_id: int) -> bool:
    """Lock an open account until the transaction ends; return False if it is closed.

    An account is closed before it is erased, so that no copy is made after an erasure. Requests of
    the account do not wait for this lock.
    """
    people: type[User] = get_user_model()
    open_accounts = people.objects.filter(pk=user_id, is_active=True)
    return open_accounts.select_for_update(no_key=True, skip_locked=True).exists()


def is_closed(user_id: int) -> bool:
    """Return whether an account is closed."""
    return not get_user_model().objects.filter(pk=user_id, is_active=True).exists()


def again(pair: ShadowPair, shadow: Shadow, job: Job) -> UUID | None:
    """Store a job in which the candidate answers the request of a user's job.

    The guards read the input when its user sent it, so what they decided is copied. Returns None
    if the account of the system is closed.
    """
    given = {name: value for name, value in (job.options or {}).items() if name == "tightened"}
    options = {**given, "prompt_version": shadow.version}
    return _store(pair, shadow, shadow.feature, job.input, "again", options)


def judged(pair: ShadowPair, shadow: Shadow, live: Job, candidate: Job) -> tuple[UUID, UUID] | None:
    """Store the judge's two jobs, the second with the answers swapped.

    Returns None if the account of the system is closed, or if the texts are too long to compare.
    """
    feature, judge = registry.get(shadow.feature), registry.get(JUDGE)
    version = {"prompt_version": controls.prompt_version(judge)}
    answers = [json.dumps(each.result, ensure_ascii=False) for each in (live, candidate)]
    found: list[UUID] = []
    for name, (first, second) in {"live-first": answers, "swapped": answers[::-1]}.items():
        shown = {
            "task": feature.description,
            "given": json.dumps(live.input, ensure_ascii=False),
            "first": first,
            "second": second,
        }
        try:
            value = validated(judge, shown)
        except InvalidInput:
            return None
        job = _store(pair, shadow, JUDGE, value, name, version)
        if job is None:
            return None
        found.append(job)
    return found[0], found[1]


def _store(
    pair: ShadowPair, shadow: Shadow, slug: str, value: Any, name: str, options: dict[str, Any]
) -> UUID | None:
    key = f"shadow:{pair.pk}:{name}"
    job = Job(
        id=uuid4(),
        user=evaluations.account(),
        feature=slug,
        input=value,
        idempotency_key=key,
        origin=Origin.SHADOW,
        options={**options, "shadow": shadow.pk, "nonce": key},
    )
    return submission.store_other(job, deadline_s=DEADLINE_S)
