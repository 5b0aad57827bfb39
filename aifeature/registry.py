"""Finds the features: every package below `aifeature.features` that has a `feature.py`."""

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
    """Every feature by its slug, in alphabetical order.

    Raises:
        TypeError: a package has no `FEATURE` of type Feature, or its folder and slug differ.
    """
    found: dict[str, Feature] = {}
    for package in sorted(pkgutil.iter_modules(features.__path__), key=lambda p: p.name):
        module = importlib.import_module(f"{features.__name__}.{package.name}.feature")
        feature = getattr(module, "FEATURE", None)
        if not isinstance(feature, Feature):
            raise TypeError(f"{module.__name__} must define FEATURE, a Feature")
        if feature.slug != package.name:
            raise TypeError(f"{module.__name__}: slug {feature.slug!r} is not its folder's name")
        found[feature.slug] = feature
    return MappingProxyType(found)


def get(slug: str) -> Feature:
    """The feature of this slug.

    Raises:
        UnknownFeatureError: there is none.
    """
    try:
        return all_features()[slug]
    except KeyError:
        raise UnknownFeatureError(slug) from None
