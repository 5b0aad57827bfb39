"""Runs a feature's own functions outside of the worker process, where they can be ended.

Imports no Django: the process of the functions has no settings and no connections.

Public: `FunctionPool` for worker processes, `function` for what a call does, `errors`.

Size limit: 550 lines.
"""

from aifeature.services.functions import errors, function
from aifeature.services.functions.pool import FunctionPool

__all__ = ["FunctionPool", "errors", "function"]
