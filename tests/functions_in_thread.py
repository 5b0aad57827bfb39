"""Functions of features that a test has made: a lambda cannot run in another process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aifeature.services.functions import FunctionPool, function
from aifeature.spec import Feature


class FunctionsInThread(FunctionPool):
    """Runs each function in the thread of its caller, without a time limit."""

    def start(self, when_away: Callable[[], None] | None = None) -> None:
        """Load nothing."""

    def call(self, feature: Feature, name: function.Name, given: Any, answer: str = "") -> Any:
        return function.result_of(feature, name, json.dumps(given), answer)
