"""Jobs that wait for a circuit breaker or the provider account, made due once that is well.

Until then jobs come back at moments that lie apart, so that a long queue costs little; the
last of a thousand looks again after most of a minute. Nobody has to wait for that once calls are
answered.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from aifeature import registry
from aifeature.models import Job, Status
from aifeature.models.functions import connected
from aifeature.reasons import WaitReason
from aifeature.services import provider
from aifeature.services.provider import account

logger = logging.getLogger(__name__)

EVERY_S: Final = 1.0
"""Seconds between two looks."""

AT_ONCE: Final = 100
"""Jobs that one look makes due."""


SOON: Final = timedelta(seconds=1)
"""What is due by then is left alone."""


class PausedJobs:
    """Looks at most once a second, for the one thread that calls it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare; `clock` gives seconds that never go back."""
        self._clock = clock
        self._looked_at = float("-inf")

    def look(self) -> int:
        """Make jobs due whose calls are answered again. Returns how many.

        Raises:
            django.db.Error: The database is away.
        """
        if self._clock() - self._looked_at < EVERY_S:
            return 0
        self._looked_at = self._clock()
        with connected():
            if not _paused().exists():
                return 0
            well = account.is_well()
        answering = [slug for slug in registry.slugs() if _is_answered(slug)]
        go_on = Q(wait_reason=WaitReason.PROVIDER_PAUSED, feature__in=answering)
        if well:
            go_on |= Q(wait_reason=WaitReason.PROVIDER_ACCOUNT)
        chosen = _paused().filter(go_on).order_by("run_at")
        free = chosen.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True)
        with connected(), transaction.atomic():
            # In two statements: as a part of the second one the first could be run for each row.
            count = Job.objects.filter(pk__in=list(free[:AT_ONCE])).update(run_at=Now())
        if count:
            logger.info("%d jobs go on: their calls are answered again", count)
        return count


def _paused() -> QuerySet[Job]:
    return Job.objects.filter(
        status=Status.QUEUED,
        wait_reason__in=(WaitReason.PROVIDER_PAUSED, WaitReason.PROVIDER_ACCOUNT),
        run_at__gt=Now() + SOON,
    )


def _is_answered(slug: str) -> bool:
    """Whether nothing keeps calls from any model of a feature.

    A job may wait for a later model of its route, and has paid the first ones: it must not come
    back sooner since these answer. What only this process knows, while Redis is away, is not
    enough: it makes no calls itself.
    """
    feature = registry.find(slug)
    return feature is not None and all(map(_lets_all_through, feature.models))


def _lets_all_through(model: str) -> bool:
    seen = provider.gate().breaker(model)
    return seen.shared and seen.forced != "open" and "closed" in {seen.state, seen.forced}
