"""One tick of all shadows: copy requests of users, judge what was answered, store verdicts.

A beat task of the queue `evals` runs it. Without a worker of that queue nothing happens. Each pair
is one short transaction, so two ticks at the same time make no pair twice, and a killed tick loses
nothing.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from aifeature import prompts, registry
from aifeature.models import TERMINAL, Job, Shadow, ShadowPair, Status
from aifeature.models.functions import database_now
from aifeature.policies import pairs
from aifeature.reasons import FailureCode, WaitReason
from aifeature.services import controls, evaluations
from aifeature.services.alerting.check_runs import Found
from aifeature.services.shadows import copies, running

logger = logging.getLogger(__name__)

TASK: Final = "shadows.drive"

LOOKS_BACK: Final = timedelta(minutes=2)
"""Age of an answer after which it is not compared: a backlog drops pairs and never grows."""

MOST_LOOKED_AT: Final = 1_000
"""Answers of a tick among which the share is chosen."""

MOST_OPEN: Final = 4
"""Pairs of a shadow under way at the same time."""

MOST_PAIRS: Final = 5_000
"""Pairs after which a shadow ends: a share of one half is known within 1.4 points."""

USERS_WAIT: Final = timedelta(seconds=5)
"""Wait of any user's job from which no copy is made."""

Verdict = ShadowPair.Verdict

_OF_NO_CANDIDATE: Final = (
    Q(options__isnull=True) | ~Q(options__has_key="canary") | Q(options__canary__arm="live")
)
"""Jobs that no canary's candidate answered."""


def drive() -> Found:
    """Take each running shadow a step further, and settle open pairs of the ended ones.

    A pair or a shadow that fails does not stop the others, and the result is not `ok`.
    """
    running_ones = list(Shadow.objects.filter(state=Shadow.State.RUNNING).order_by("pk"))
    pairs_ = ShadowPair.objects.filter(verdict=Verdict.OPEN).order_by("pk")
    failed = [pk for pk in pairs_.values_list("pk", flat=True) if not _advanced(pk)]
    made = {shadow.feature: _stepped(shadow) for shadow in running_ones}
    ok = not failed and None not in made.values()
    if not made:
        return Found(ok=ok, result="No shadow is running.")
    each = ", ".join(f"{slug}: {text or 'failed, see the log'}" for slug, text in made.items())
    return Found(ok=ok, result=f"Shadows: {each}.")


def _advanced(pk: int) -> bool:
    """Take an open pair a step further. Return False if that fails."""
    try:
        _advance(pk)
    except Exception:
        logger.exception("pair %d of a shadow: nothing was done", pk)
        return False
    return True


def _stepped(shadow: Shadow) -> str | None:
    """End a shadow, or copy new requests. Return what was done; None if that fails."""
    try:
        return _step(shadow)
    except Exception:
        logger.exception("shadow %d: nothing more was done", shadow.pk)
        return None


def _step(shadow: Shadow) -> str:
    """End a shadow, or copy new requests. Return what was done, for the record of the task."""
    if why := _over(shadow):
        running.end_by_itself(shadow, why)
        return "ended"
    if why := _waits(shadow):
        return why
    under_way = shadow.pairs.filter(verdict=Verdict.OPEN).count()
    made = 0
    for job in _chosen(shadow):
        if under_way + made >= MOST_OPEN:
            break
        made += _copy(shadow, job)
    return f"{made} requests copied"


def _over(shadow: Shadow) -> str:
    """Return why a shadow has ended; empty if it goes on."""
    if database_now() >= shadow.ends_at:
        return "Its days are over."
    if shadow.pairs.count() >= MOST_PAIRS:
        return f"It has {MOST_PAIRS:,} pairs, which is enough."
    feature = registry.find(shadow.feature)
    if feature is None:
        return "The feature is no longer in the code."
    try:
        is_same = prompts.get(shadow.feature, shadow.version).hash == shadow.prompt_hash
    except prompts.PromptError:
        is_same = False
    if not is_same:
        return f"This code has no version {shadow.version} with the text that was chosen."
    live = controls.live_version(feature)
    if live != shadow.live_version:
        return f"{live or 'No version'} is live now, and it is compared with {shadow.live_version}."
    return ""


def _waits(shadow: Shadow) -> str:
    """Return why no request is copied in this tick; empty if some may be."""
    account = evaluations.account()
    if controls.is_paused(shadow.feature, account.pk) or controls.is_paused(
        copies.JUDGE, account.pk
    ):
        return "stopped by a kill switch"
    midnight = database_now().replace(hour=0, minute=0, second=0, microsecond=0)
    spent = shadow.pairs.filter(problem=FailureCode.BUDGET_SPENT, ended_at__gte=midnight)
    if spent.exists():
        return "the budget of the day is used up"
    late = Job.objects.of_users().filter(status=Status.QUEUED, run_at__lt=Now() - USERS_WAIT)
    held = Q(wait_reason=WaitReason.FEATURE_PAUSED)  # by a person, perhaps for days
    return "jobs of users wait" if late.filter(~held).exists() else ""


def _chosen(shadow: Shadow) -> list[Job]:
    """Return answers of users of the last minutes that this shadow compares, newest first.

    An answer that its user may not read, that was made without a model, or that is of a canary's
    candidate is not among them.
    """
    known = ShadowPair.objects.filter(shadow=shadow, job=OuterRef("pk"))
    recent = (
        Job.objects.of_users()
        .filter(
            ~Exists(known),
            _OF_NO_CANDIDATE,
            feature=shadow.feature,
            finished_at__gt=Now() - LOOKS_BACK,
            finished_at__gte=shadow.created_at,
            content_blanked_at=None,
            status=Status.SUCCEEDED,
            degraded=False,
            prompt_version=shadow.live_version,
            input__isnull=False,
            result__isnull=False,
            approval_expires_at=None,
        )
        .order_by("-finished_at")
    )
    ids = recent.values_list("pk", flat=True)[:MOST_LOOKED_AT]
    chosen = [
        each for each in ids if pairs.is_chosen(each, shadow=shadow.pk, percent=shadow.percent)
    ]
    return list(Job.objects.of_users().filter(pk__in=chosen[:MOST_OPEN]))


def _copy(shadow: Shadow, chosen: Job) -> bool:
    """Store a pair and the candidate's job. Return False if there is nothing to copy any more."""
    with transaction.atomic():
        if not copies.lock_person(chosen.user_id):
            return False
        job = Job.objects.of_users().get(pk=chosen.pk)  # again: it may have been blanked since
        pair, is_new = ShadowPair.objects.get_or_create(shadow=shadow, job=job)
        if not is_new or job.input is None:
            return False
        pair.shadow_job_id = copies.again(pair, shadow, job)
        pair.save(update_fields=["shadow_job"])
        return True


def _advance(pk: int) -> None:
    """Take an open pair a step further, unless another tick does."""
    with transaction.atomic():
        found = ShadowPair.objects.select_for_update(skip_locked=True, of=("self",))
        pair = found.filter(pk=pk, verdict=Verdict.OPEN).first()
        if pair is None:
            return
        ids = (pair.job_id, pair.shadow_job_id, pair.judge_job_id, pair.second_judge_job_id)
        jobs = Job.objects.of_all_origins().in_bulk([each for each in ids if each])
        live, candidate, first, second = (jobs.get(each) if each else None for each in ids)
        if candidate is None:
            _settle(pair, Verdict.UNJUDGED, "no account")
        elif first is not None and second is not None:
            _read(pair, first, second)
        elif candidate.status in TERMINAL:
            _ask(pair, live, candidate)


def _ask(pair: ShadowPair, live: Job | None, candidate: Job) -> None:
    if problem := _problem(candidate):
        _settle(pair, Verdict.UNJUDGED, problem)
        return
    is_open = pair.shadow.state == Shadow.State.RUNNING and live is not None
    if live is None or not is_open or live.input is None or live.result is None:
        _settle(pair, Verdict.UNJUDGED, "ended" if live and live.input else "deleted")
        return
    if not copies.lock_person(live.user_id):
        if copies.is_closed(live.user_id):  # otherwise its row is locked for a moment
            _settle(pair, Verdict.UNJUDGED, "account closed")
        return
    asked = copies.judged(pair, pair.shadow, live, candidate)
    if asked is None:
        _settle(pair, Verdict.UNJUDGED, "too long to compare")
        return
    pair.judge_job_id, pair.second_judge_job_id = asked
    pair.save(update_fields=["judge_job", "second_judge_job"])


def _read(pair: ShadowPair, first: Job, second: Job) -> None:
    """Store the verdict once both of the judge's jobs have ended."""
    if not {first.status, second.status} <= TERMINAL:
        return
    if problem := _problem(first) or _problem(second):
        shown = problem if problem in _SHARED else f"judge: {problem}"
        _settle(pair, Verdict.UNJUDGED, shown)
        return
    better = [(job.result or {}).get("better", "same") for job in (first, second)]
    _settle(pair, Verdict(pairs.verdict(*better)))


_SHARED: Final = frozenset({FailureCode.BUDGET_SPENT, "deleted"})
"""Problems that are not the judge's own."""


def _problem(job: Job) -> str:
    """Return why a job has no answer to compare; empty if it has one."""
    if job.status != Status.SUCCEEDED:
        return job.error_code or str(job.status)
    return "" if job.result is not None else "deleted"


def _settle(pair: ShadowPair, verdict: Verdict, problem: str = "") -> None:
    pair.verdict, pair.problem, pair.ended_at = verdict, problem[:80], database_now()
    pair.save(update_fields=["verdict", "problem", "ended_at"])
