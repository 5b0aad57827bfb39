"""Run a command with placeholder settings: `-m project.stack.run_with_settings KIND COMMAND...`.

The kind `settings` is the least with which Django's settings load. The kind `production` is what a
deployment sets. All secrets are random, and no server is reached.
"""

from __future__ import annotations

import os
import secrets
import sys


def environment(kind: str) -> dict[str, str]:
    """Return the variables of one kind.

    Raises:
        SystemExit: the kind does not exist.
    """
    if kind not in {"settings", "production"}:
        raise SystemExit(f"unknown kind of settings {kind!r}: settings or production")
    found = {
        # No server listens there; these commands do not connect.
        "DATABASE_URL": "postgresql://app@127.0.0.1:1/app",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "SECRET_KEY": secrets.token_urlsafe(64),
        "LOCAL_DIR": os.devnull,  # ignores the environment file of a running stack
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
