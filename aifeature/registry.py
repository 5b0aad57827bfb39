"""Registry of the features: all packages in `aifeature.features`, each with a `feature.py`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from aifeature import features
from aifeature.spec import Feature


class UnknownFeatureError(LookupError):
    """No feature has this slug."""


@cache
def all_features() -> Mapping[str, Feature]:
    """Return every feature by its slug, in alphabetical order.

    Raises:
        TypeError: a package has no `FEATURE` of type Feature, or its folder and slug differ.
    """
    found = {name: load(name) for name in slugs()}
    for name, feature in found.items():
        if feature.slug != name:
            raise TypeError(f"{name}: slug {feature.slug!r} is not its folder's name")
    return MappingProxyType(found)


def load(folder: str) -> Feature:
    """Return the feature of a folder. Its slug may differ from the folder's name.

    Raises:
        TypeError: the folder defines no feature. Its code may raise any other error.
    """
    module = importlib.import_module(f"{features.__name__}.{folder}.feature")
    feature = getattr(module, "FEATURE", None)
    if not isinstance(feature, Feature):
        raise TypeError(f"{module.__name__} must define FEATURE, a Feature")
    return feature


def slugs() -> list[str]:
    """Return the names of the features' folders in alphabetical order. Imports no feature."""
    return sorted(package.name for package in pkgutil.iter_modules(features.__path__))


def offered() -> Mapping[str, Feature]:
    """Return the features that may be offered to users, by slug."""
    return {slug: feature for slug, feature in all_features().items() if not feature.internal}


def find(slug: str) -> Feature | None:
    """Return the feature with this slug, or None if there is none or the features do not load.

    Only for code that must work while a feature is broken. All other code calls `get`.
    """
    try:
        return all_features().get(slug)
    except Exception:  # noqa: BLE001 (the code of a feature may raise anything)
        return None


def get(slug: str) -> Feature:
    """Return the feature with this slug. Raises UnknownFeatureError if there is none."""
    try:
        return all_features()[slug]
    except KeyError:
        raise UnknownFeatureError(slug) from None
