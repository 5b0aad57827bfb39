"""Alerts about a feature's own code.

A function that raises or hangs is a defect of the feature, not of the provider or of the user. The
job ends, and the alert contains the feature's name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, InterfaceError

from aifeature.models.functions import brief
from aifeature.services.alerting import alerts
from aifeature.services.functions import FunctionPool
from aifeature.services.functions.errors import FunctionFailedError, FunctionsAwayError
from aifeature.services.functions.function import Name
from aifeature.spec import Feature

logger = logging.getLogger(__name__)


class FeatureBrokenError(Exception):
    """A feature's own code raised or hangs. On-call was alerted."""

    text_is_ours = True


def call(
    functions: FunctionPool, feature: Feature, name: Name, given: Any, answer: str = ""
) -> Any:
    """Return the result of the feature's function `name`, as `FunctionPool.call` does.

    Raises FeatureBrokenError, or FunctionsAwayError.
    """
    with guarded(feature, name, FunctionsAwayError):
        return functions.call(feature, name, given, answer)


@contextmanager
def guarded(feature: Feature, name: str, *passed: type[Exception]) -> Iterator[None]:
    """Turn an error of the feature's part `name` into an alert and FeatureBrokenError.

    Errors of the types `passed` are raised unchanged.
    """
    try:
        yield
    except passed:
        raise
    except Exception as error:
        logger.exception("feature %s: %s failed", feature.slug, name)
        raised = f"raised {type(error).__name__}"
        what = error.what if isinstance(error, FunctionFailedError) else raised
        summary = (
            f"{name} of the feature {feature.slug} {what}. Its jobs fail or wait. Correct"
            f" aifeature/features/{feature.slug}/, and stop the feature until then."
        )
        _alert(feature.slug, summary)
        raise FeatureBrokenError(summary) from None


def _alert(slug: str, summary: str) -> None:
    try:
        alerts.begin_or_renew(alerts.FEATURE_BROKEN, slug, summary)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("alert %s (%s) not written: %s", alerts.FEATURE_BROKEN, slug, brief(error))
