"""Stores the levels of the six numbers, on which ramps and alerts depend."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Case, F, Value, When

from aifeature import registry
from aifeature.models import HealthReading
from aifeature.policies.numbers import Six
from aifeature.services.numbers import six
from aifeature.services.numbers.six import Number

Noted = Callable[[str], AbstractContextManager[None]]


def unnoted(_: str) -> AbstractContextManager[None]:
    """Return a block that does nothing."""
    return nullcontext()


def measure(
    now: datetime, noted: Noted = unnoted, names: Collection[Six] = tuple(Six)
) -> dict[str, dict[str, Number]]:
    """Compute the numbers of all features, and store those that have a level.

    A number with too few data leaves its reading as it is, so that it becomes stale. So do the
    numbers of a feature that was removed from the code.

    Args:
        now: The present time.
        noted: Called with the name of each number, such as `errors of summarize`. The block that it
            returns may note an exception and end it: that number is left out, and all others are
            measured. By default an exception ends the measuring.
        names: The numbers to measure.
    """
    found: dict[str, dict[str, Number]] = {slug: {} for slug in registry.slugs()}
    for slug, numbers in found.items():
        for name in names:
            with noted(f"{name} of {slug}"), transaction.atomic():
                number = six.MEASURES[name](slug, now)
                store(slug, [number])
                numbers[name.value] = number
    return found


def store(slug: str, numbers: Iterable[Number]) -> None:
    """Store a feature's numbers that have a level. `since` changes only with the level.

    A `since` in the future is from a clock that was ahead, and begins again.
    """
    for number in numbers:
        if number.level is None:
            continue
        now: dict[str, Any] = {
            "level": number.level,
            "figures": figures(number),
            "measured_at": number.measured_at,
        }
        HealthReading.objects.update_or_create(
            feature=slug,
            number=number.name,
            defaults={
                **now,
                "since": Case(
                    When(level=number.level, since__lte=number.measured_at, then=F("since")),
                    default=Value(number.measured_at),
                ),
            },
            create_defaults={**now, "since": number.measured_at},
        )


def figures(number: Number) -> dict[str, Any]:
    """Return what a reading stores beside its level."""
    known = {
        "value": number.value,
        "threshold": number.threshold,
        "sample": number.sample,
        "window_s": number.window_s,
        "unit": number.unit,
        "low": number.low,
        "high": number.high,
        "bound": number.bound,
        "begins": number.begins.isoformat(),
        "version": number.version or None,
    }
    return {key: value for key, value in known.items() if value is not None}
