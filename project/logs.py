"""Logging configuration: one line per record on standard error, with ids and codes only."""

from __future__ import annotations

from typing import Any, Final

READY: Final = "project.ready"
"""Logger of the line that a process writes when it is ready, at any LOG_LEVEL."""


def logging_config(level: str) -> dict[str, Any]:
    """Return a value for `logging.config.dictConfig` that writes UTC lines to standard error."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": "project.log_lines.LineFormatter",
                "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s",
            },
        },
        "filters": {"refusals": {"()": "project.log_flood.RefusalFilter"}},
        "handlers": {
            "stderr": {
                "class": "project.log_records.StandardError",
                "formatter": "line",
                "filters": ["refusals"],
            },
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Celery's two lines about a task repeat our line about its job, and cost as much as one
            # of its database calls. Failures are logged above this level.
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            # At DEBUG Django logs statements with their values.
            "django.db.backends": {"level": "WARNING"},
            # The local stack waits for these lines, also at a higher LOG_LEVEL.
            "celery.apps.worker": {"level": "INFO"},
            READY: {"level": "INFO"},
            # The SDK and its HTTP client log request bodies at DEBUG.
            "anthropic": {"level": "WARNING"},
            "httpx2": {"level": "WARNING"},
            "httpcore2": {"level": "WARNING"},
            # Its lines may contain the address of a channel. `services_by_apprise` reads the codes.
            "apprise": {"level": "WARNING", "propagate": False},
            "urllib3": {"level": "ERROR"},
        },
    }
