"""Logging: one line a record on standard error, ids and codes only, never prompts or outputs."""

from __future__ import annotations

from typing import Any, Final

READY: Final = "project.ready"
"""The logger of a process that begins its work, whatever LOG_LEVEL is."""


def logging_config(level: str) -> dict[str, Any]:
    """A `logging.config.dictConfig` value that writes UTC lines to standard error."""
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
            # Two lines about each task say less than our own one about its job, and cost as much
            # as one of its database calls. Failures are logged above this level.
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            # At DEBUG it logs statements with their values.
            "django.db.backends": {"level": "WARNING"},
            # The local stack waits for these few lines, also at a quieter LOG_LEVEL.
            "celery.apps.worker": {"level": "INFO"},
            READY: {"level": "INFO"},
            # The SDK and its HTTP client log request bodies at DEBUG.
            "anthropic": {"level": "WARNING"},
            "httpx2": {"level": "WARNING"},
            "httpcore2": {"level": "WARNING"},
        },
    }
