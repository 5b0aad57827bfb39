"""Runs a check with the environment it needs: `python -m project.stack.checks KIND COMMAND...`.

`settings` is enough to import Django's settings; `production` is what a deployment sets. All
secrets are made up on the spot and no server is reached.
"""

from __future__ import annotations

import os
import secrets
import sys


def environment(kind: str) -> dict[str, str]:
    """The variables of one kind of check.

    Raises:
        SystemExit: there is no such kind.
    """
    if kind not in {"settings", "production"}:
        raise SystemExit(f"unknown kind of check {kind!r}: settings or production")
    found = {
        # Nothing listens there, and nothing is asked: these commands do not connect.
        "DATABASE_URL": "postgresql://app@127.0.0.1:1/app",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "SECRET_KEY": secrets.token_urlsafe(64),
        "LOCAL_DIR": os.devnull,  # the file of a stack that runs here must not leak in
    }
    if kind == "production":
        found |= {
            "PROVIDER": "anthropic",
            "ANTHROPIC_API_KEY": secrets.token_urlsafe(16),
            "ALLOWED_HOSTS": "app.example.test",
            "CSRF_TRUSTED_ORIGINS": "https://app.example.test",
            "HTTPS": "true",
            "DEBUG": "false",
            "LOCAL_STACK": "false",
        }
    return found


if __name__ == "__main__":
    os.execvpe(sys.argv[2], sys.argv[2:], {**os.environ, **environment(sys.argv[1])})  # noqa: S606  # no shell is wanted
