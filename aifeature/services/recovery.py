"""Finds what no message stands for any more and publishes it again."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, Q
from django.db.models.functions import Now

from aifeature.models import FeatureControl, Job, Status
from aifeature.services import dispatch
from aifeature.services.control import EVERYTHING

LOST_AFTER = timedelta(seconds=60)
"""Age at which a published job that nobody claimed counts as lost (a wiped Redis)."""

ABANDONED_AGAIN_AFTER = timedelta(seconds=10)
"""Time until a job whose worker is gone is published once more, if nobody claims it."""

BATCH = 500


def publish_due(limit: int = BATCH) -> int:
    """Publish jobs that are due and not on their way, and those whose worker is gone.

    Publishing one too often is harmless: a claim decides. Returns how many were handed over.
    """
    jobs = _mark(limit)
    return dispatch.publish([job.id for job in jobs]) if jobs else 0


def _mark(limit: int) -> list[Job]:
    """Choose and mark in one transaction, so that two sweeps at once choose different jobs."""
    now = Now()
    due = Q(status=Status.QUEUED, run_at__lte=now) & _not_published_since(LOST_AFTER)
    due &= _not_held() | Q(deadline_at__lte=now)  # its deadline ends a job also while it is held
    abandoned = Q(status=Status.RUNNING, lease_until__lt=now)
    abandoned &= _not_published_since(ABANDONED_AGAIN_AFTER)
    with transaction.atomic():
        rows = Job.objects.filter(due | abandoned).select_for_update(skip_locked=True)
        jobs = list(rows.only("id").order_by("run_at")[:limit])
        Job.objects.filter(id__in=[job.id for job in jobs]).update(published_at=now)
    return jobs


def _not_held() -> Q:
    killed = FeatureControl.objects.filter(killed=True)
    everything = killed.filter(feature=EVERYTHING)
    return ~Exists(everything) & ~Q(feature__in=killed.values("feature"))


def _not_published_since(span: timedelta) -> Q:
    return Q(published_at=None) | Q(published_at__lt=Now() - span)
