"""A feature with a live prompt, and changes of its control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from aifeature import registry
from aifeature.models import FeatureControl
from aifeature.services import controls
from aifeature.spec import Feature
from project.env import FeatureFlags
from tests import proof
from tests.integration.conftest import AMPLE_RATES

Narrow = Callable[..., None]


@pytest.fixture
def summarize(db: None) -> Feature:
    """The feature `summarize`, off, with a live prompt."""
    proof.activate("summarize")
    return registry.get("summarize")


@pytest.fixture
def boss(db: None) -> User:
    return User.objects.create_superuser("boss")


@pytest.fixture
def narrow(settings: Any) -> Narrow:
    """A function that sets the environment's flags of `summarize`."""

    def set_flags(**flags: bool) -> None:
        given = {"summarize": FeatureFlags(**flags)}
        settings.AIFEATURE = {**settings.AIFEATURE, "FEATURE_FLAGS": given}

    return set_flags


def put(**values: Any) -> FeatureControl:
    """Set fields of the control of `summarize`."""
    values = {**AMPLE_RATES, **values}
    return controls.change("summarize", values, reason="test", check_name="test")
