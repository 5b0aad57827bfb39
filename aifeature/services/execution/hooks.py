"""Calls of a feature's own functions, within a time limit.

A function that raises or hangs is a defect of the feature, not of the provider or of the user. The
job ends, and the alert contains the feature's name.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError

from aifeature.models.functions import brief
from aifeature.services.alerting import alerts
from aifeature.spec import Feature

logger = logging.getLogger(__name__)

LIMIT_S: Final = 5.0
"""Seconds that a function may take. Python cannot end a thread, so one that hangs keeps its own."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class _HangsError(Exception):
    """The function has not returned in time."""


class FeatureBrokenError(Exception):
    """A feature's own code raised or hangs. On-call was alerted."""

    text_is_ours = True


def call(
    feature: Feature,
    name: str,
    function: Callable[Arguments, Result],
    *arguments: Arguments.args,
    **named: Arguments.kwargs,
) -> Result:
    """Return the result of the feature's function `name`. Raises FeatureBrokenError."""
    results: queue.SimpleQueue[Result] = queue.SimpleQueue()
    errors: list[BaseException] = []
    ended = threading.Event()

    def work() -> None:
        try:
            results.put(function(*arguments, **named))
        except BaseException as error:  # noqa: BLE001 (the code of a feature may raise anything)
            errors.append(error)
        finally:
            ended.set()

    threading.Thread(target=work, name=f"{feature.slug}.{name}", daemon=True).start()
    with guarded(feature, name):
        if not ended.wait(LIMIT_S):
            raise _HangsError
        for error in errors:  # one that is no Exception, such as SystemExit, would pass `guarded`
            raise error if isinstance(error, Exception) else RuntimeError(type(error).__name__)
        return results.get_nowait()


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
        hangs = isinstance(error, _HangsError)
        what = f"takes longer than {LIMIT_S:g} s" if hangs else f"raised {type(error).__name__}"
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
