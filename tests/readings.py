"""Readings of a feature's numbers, planted by tests. The product never makes one up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from aifeature.models import HealthReading
from aifeature.services.rollout.health import REQUIRED

MINUTE = timedelta(minutes=1)
THRESHOLDS = {"errors": 0.02, "latency": 10, "cost": 2, "thumbs_down": 0.2}


def plant(slug: str = "summarize", *, age: timedelta = timedelta(), **levels: str) -> None:
    """Store all required numbers of a feature: green, or with these levels. They are `age` old."""
    for number in {*REQUIRED, *levels}:
        level = levels.get(number, "green")
        threshold = THRESHOLDS.get(number, 1)
        value = threshold * {"green": 0.5, "amber": 1.1, "red": 2}[level]
        defaults: dict[str, Any] = {
            "level": level,
            "figures": {"value": value, "threshold": threshold},
            "measured_at": Now() - age,
        }
        HealthReading.objects.update_or_create(
            feature=slug, number=number, defaults=defaults, create_defaults=defaults
        )
