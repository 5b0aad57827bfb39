"""Every address of the URL configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import URLPattern, URLResolver, get_resolver

from tests.integration.fuzz.values import encoded

_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>[^()]*(?:\([^()]*\))?[^()]*\)")


@dataclass(frozen=True)
class Place:
    """An address with holes."""

    route: str

    @property
    def holes(self) -> list[str]:
        """The names of its parameters."""
        return [first or second for first, second in _PARAMETER.findall(self.route)]

    def path(self, given: Sequence[str]) -> str:
        """The path with these values in its holes."""
        left = iter(given)
        filled = _PARAMETER.sub(lambda _: encoded(next(left), safe="/"), self.route)
        return "/" + re.sub(r"[\^$]", "", filled)


def places() -> list[Place]:
    """Return every address once."""
    found = dict.fromkeys(_walk(get_resolver().url_patterns, ""))
    return [Place(route) for route in found]


def _walk(patterns: Iterable[URLPattern | URLResolver], before: str) -> Iterator[str]:
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, route)
        else:
            yield route


def known_values(place: Place, rows: Iterable[Model]) -> list[list[str]]:
    """Values for each hole that lead to a row, where there is one."""
    by_model: dict[str, list[str]] = {}
    everything: list[str] = []
    for row in rows:
        by_model.setdefault(row._meta.model_name or "", []).append(quote(str(row.pk)))
        everything.append(quote(str(row.pk)))
    model = next((part for part in place.route.split("/") if part in by_model), "job")
    named: Mapping[str, list[str]] = {
        "slug": ["summarize"],
        "app_label": ["aifeature", "auth", "django_celery_beat"],
        "content_type_id": [str(number) for number in range(1, 30)],
        "url": ["aifeature/job", "nowhere/"],
        "unknown": ["nowhere"],
        "object_id": by_model[model] if "/r/" not in place.route else everything,
    }
    return [named.get(hole, by_model[model]) for hole in place.holes]
