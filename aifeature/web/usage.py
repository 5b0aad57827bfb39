"""The page on which users see their own usage, and what is left today."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final, cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from aifeature.policies.rates import RateLimitStatus
from aifeature.services import controls
from aifeature.services.jobs import usage
from aifeature.services.jobs.usage import FeatureUsage
from aifeature.web.show import MINUTE_S
from aifeature.web.sign_in import signed_in

if TYPE_CHECKING:
    from django.contrib.auth.models import User

HEIGHT: Final = 48
WIDTH: Final = 10
"""Size of the highest bar, with the gap to the next one."""

FLAT: Final = 1.5
"""Height of a day without requests."""

_ROUND_FROM: Final = 20
"""Estimates from here on are rounded down to a tenth of their size."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A day in the picture, in its units."""

    day: date
    count: int
    x: int
    y: float
    height: float


@never_cache
@require_safe
@signed_in
def usage_page(request: HttpRequest) -> HttpResponse:
    """Show this user's requests by feature and day, and what is left of the limits."""
    user = cast("User", request.user)
    found = usage.of(user)
    slugs = [each.feature.slug for each in found.features]
    context = {
        "usage": found,
        "features": [_row(each) for each in found.features],
        "days": usage.DAYS,
        "most": usage.MOST,
        "width": usage.DAYS * WIDTH,
        "height": HEIGHT,
        "throttles": controls.throttles.notices(user.pk, seen=slugs),
    }
    return render(request, "aifeature/usage.html", context)


def _row(each: FeatureUsage) -> dict[str, Any]:
    highest = max(each.days, key=lambda day: (each.days[day], day))
    return {
        "usage": each,
        "percent": "" if each.used is None else _percent(each.used),
        "about_left": None if each.about_left is None else rounded_down(each.about_left),
        "window": each.rate and _window(each.rate),
        "bars": _bars(each),
        "highest": highest,
        "most": each.days[highest],
        "by_day": [(day, count) for day, count in reversed(list(each.days.items())) if count],
    }


def rounded_down(count: int) -> int:
    """Return an estimate with two digits at most, since more would look exact.

    >>> rounded_down(1234)
    1200
    """
    if count < _ROUND_FROM:
        return count
    step = 10 ** (len(str(count)) - 2) if count >= 100 else 5  # noqa: PLR2004 (two digits)
    return count // step * step


def _percent(share: float) -> str:
    """Return the share in whole percent. 0 and 100 only if nothing or all is used."""
    if 0 < share < 0.01:  # noqa: PLR2004 (one percent)
        return "Less than 1"
    return str(math.floor(share * 100))


def _window(rate: RateLimitStatus) -> str:
    minutes = math.ceil(rate.window_s / MINUTE_S)
    return "a minute" if minutes == 1 else f"in {minutes} minutes"


def _bars(each: FeatureUsage) -> list[Bar]:
    most = max(each.days.values()) or 1
    bars = []
    for number, (day, count) in enumerate(each.days.items()):
        height = max(FLAT, round(HEIGHT * count / most, 1))
        bars.append(Bar(day, count, number * WIDTH, HEIGHT - height, height))
    return bars
