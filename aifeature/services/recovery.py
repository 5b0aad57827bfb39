"""Finds what no message stands for any more and publishes it again."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from aifeature.models import Job, Status
from aifeature.services import dispatch

LOST_AFTER = timedelta(seconds=60)
"""Age at which a published job that nobody claimed counts as lost (a wiped Redis)."""

BATCH = 500


def publish_due(limit: int = BATCH) -> int:
    """Publish jobs that are due and not on their way, and those whose worker is gone.

    Publishing one too often is harmless: a claim decides. Returns how many were handed over.
    """
    now = Now()
    never_sent_or_lost = Q(published_at=None) | Q(published_at__lt=now - LOST_AFTER)
    due = Q(status=Status.QUEUED, run_at__lte=now) & never_sent_or_lost
    abandoned = Q(status=Status.RUNNING, lease_until__lt=now)
    found = Job.objects.filter(due | abandoned).order_by("run_at").values_list("id", flat=True)
    jobs = list(found[:limit])
    return dispatch.publish(jobs) if jobs else 0
