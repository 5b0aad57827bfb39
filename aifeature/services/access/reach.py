"""The number of users who see a feature."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model

from aifeature import registry
from aifeature.models import EVALUATIONS_ACCOUNT, Stage
from aifeature.models.functions import rows
from aifeature.services.access import environment, gates
from aifeature.services.controls.cache import cache


def audience(
    slug: str,
    *,
    stage: Stage | None = None,
    percent: int | None = None,
    holdout_percent: int | None = None,
) -> int:
    """Return the exact number of active users who would see the feature with these values.

    They are counted in SQL by the rules of `policies.access`. None is the present value. A given
    stage counts as it is; the present one is at most STAFF while no prompt is live.
    """
    feature = registry.find(slug)
    flags = environment.flags(slug)
    if feature is None or feature.internal or not flags.enabled:
        return 0
    control = cache.get(slug)
    arguments = (
        gates.gate_of(feature).stage.value if stage is None else Stage(stage).value,
        control.percent if percent is None else percent,
        control.holdout_percent if holdout_percent is None else holdout_percent,
        flags.staff_only,
        _account_of_evaluations(),
    )
    (counted,) = rows("aif_audience", slug, *arguments)
    return int(counted[0])


def total() -> int:
    """Return the number of active users. The account of evaluations is none."""
    active = get_user_model().objects.filter(is_active=True)
    return active.exclude(pk=_account_of_evaluations()).count()


def _account_of_evaluations() -> Any:
    """Return the id of the account that owns the jobs of evaluations; None without one."""
    users = get_user_model()
    named = users.objects.filter(**{users.USERNAME_FIELD: EVALUATIONS_ACCOUNT})
    return named.values_list("pk", flat=True).first()
