"""Settings for a web process whose requests wait for a database connection without an end.

A request that waits for the pool's time-out, and not for the database, never returns then.
"""

from __future__ import annotations

from project.settings import *  # noqa: F403 (settings are names of a module)
from project.settings import DATABASES
from tests.chaos.faults.system import LIMIT_S

DATABASES["default"]["OPTIONS"]["pool"]["timeout"] = 2 * LIMIT_S
