"""Makes jobs due that waited for a circuit breaker or the provider account, once it has recovered.

While it has not, each job returns at its own time, so that a long queue stays cheap. The last of a
thousand jobs returns after most of a minute, which is too late once calls are answered again.
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

from aifeature import prompts, registry
from aifeature.models import Job, Status
from aifeature.models.functions import connected
from aifeature.reasons import WaitReason
from aifeature.services import controls, provider
from aifeature.services.provider import account
from aifeature.spec import Feature

logger = logging.getLogger(__name__)

EVERY_S: Final = 1.0
"""Seconds between two checks."""

AT_ONCE: Final = 100
"""Most jobs made due by one check."""


SOON: Final = timedelta(seconds=1)
"""Jobs that are due within this time are not changed."""


class PausedJobs:
    """Checks at most once a second. Use it from one thread only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._checked_at = float("-inf")

    def resume(self) -> int:
        """Make jobs due whose calls are answered again. Return their number."""
        if self._clock() - self._checked_at < EVERY_S:
            return 0
        self._checked_at = self._clock()
        with connected():
            if not _paused().exists():
                return 0
            well = account.is_well()
        answering = [slug for slug in registry.slugs() if _is_available(slug)]
        resumed = Q(wait_reason=WaitReason.PROVIDER_PAUSED, feature__in=answering)
        if well:
            resumed |= Q(wait_reason=WaitReason.PROVIDER_ACCOUNT)
        chosen = _paused().filter(resumed).order_by("run_at")
        free = chosen.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True)
        with connected(), transaction.atomic():
            # Two statements: a subquery could be executed for each row of the update.
            count = Job.objects.filter(pk__in=list(free[:AT_ONCE])).update(run_at=Now())
        if count:
            logger.info("%d jobs resume: the provider answers again", count)
        return count


def _paused() -> QuerySet[Job]:
    return Job.objects.filter(
        status=Status.QUEUED,
        wait_reason__in=(WaitReason.PROVIDER_PAUSED, WaitReason.PROVIDER_ACCOUNT),
        run_at__gt=Now() + SOON,
    )


def _is_available(slug: str) -> bool:
    """Return whether the breakers of all models of a feature are closed.

    A job may wait for a later model of its route after paying for earlier ones, so it must not
    return before all models answer. The state that is local to this process while Redis is down
    does not count, since this process makes no calls.
    """
    feature = registry.find(slug)
    return feature is not None and all(map(_admits_all_calls, _in_use(feature)))


def _in_use(feature: Feature) -> set[str]:
    """Return the models that jobs of users may call: of the live, active and candidate versions."""
    canary = controls.cache.cache.get(feature.slug).canary
    versions = {controls.live_version(feature), controls.prompt_version(feature)}
    versions.add(canary.candidate.version if canary else None)
    used = [each for each in prompts.readable(feature.slug) if each.version in versions]
    return {
        model
        for prompt in used
        for route in prompts.routes(feature, prompt)
        for model in route.models
    }


def _admits_all_calls(model: str) -> bool:
    view = provider.gate().breaker(model)
    return view.shared and view.forced != "open" and "closed" in {view.state, view.forced}
