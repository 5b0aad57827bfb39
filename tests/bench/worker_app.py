"""The project's Celery app with features that do not stream: `celery -A tests.bench.worker_app`.

It serves the comparison of a whole job with a bare call that does not stream.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from celery.signals import worker_init

from aifeature import registry
from project.celery import app

__all__ = ["app"]


@worker_init.connect
def _stop_streaming(**_: Any) -> None:
    features = MappingProxyType(
        {
            slug: feature.model_copy(update={"stream_field": None})
            for slug, feature in registry.all_features().items()
        }
    )
    registry.all_features = lambda: features  # type: ignore[assignment]
