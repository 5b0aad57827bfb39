"""Narrowing by the environment: `AI_FEATURE_<SLUG>_ENABLED`, `AI_FEATURE_<SLUG>_STAFF_ONLY`."""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings

from project.env import FeatureFlags

_NONE = FeatureFlags()


def flags(slug: str) -> FeatureFlags:
    """Return the environment's flags of a feature. Without flags it narrows nothing."""
    found: Mapping[str, FeatureFlags] = settings.AIFEATURE["FEATURE_FLAGS"]
    return found.get(slug, _NONE)


def narrowing(slug: str) -> str:
    """Return a sentence about what the environment of this process narrows; "" for nothing."""
    given = flags(slug)
    name = f"AI_FEATURE_{slug.upper()}"
    if not given.enabled:
        return f"{name}_ENABLED=false is set in the environment: no user may use the feature."
    if given.staff_only:
        return f"{name}_STAFF_ONLY=true is set in the environment: only staff may use the feature."
    return ""
