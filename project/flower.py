"""Flower with a limit on wrong passwords: `python -m project.flower [OPTIONS]`.

Flower itself has no limit on basic-auth attempts. It is one process with one thread, so the counts
are in memory and need no lock.
"""

from __future__ import annotations

import logging
import sys
import time
from base64 import b64decode
from collections.abc import Callable
from typing import Any, Final

from celery.bin.celery import main as celery
from flower.views import BaseHandler
from tornado.web import HTTPError

from aifeature.policies import networks, sign_in
from project.log_flood import WarningFilter

MOST: Final = 10_000
"""Most counts in memory. The oldest are removed first."""


class Door:
    """Counts failed sign-ins by name and address, by address alone, and by name alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[tuple[str, ...], tuple[int, float]] = {}

    def wait_s(self, name: str, address: str) -> int:
        """Return the seconds until a password may be checked again. 0 means now."""
        now, longest = self._clock(), 0.0
        for key, most in self._counted(name, address):
            count, until = self._failures.get(key, (0, 0.0))
            if count >= most and until > now:
                longest = max(longest, until - now)
        return -int(-longest // 1)

    def failed(self, name: str, address: str) -> None:
        """Count a wrong password."""
        now = self._clock()
        for key, _ in self._counted(name, address):
            count, until = self._failures.pop(key, (0, 0.0))
            if until <= now:
                count, until = 0, now + sign_in.WINDOW.total_seconds()
            self._failures[key] = (count + 1, until)
        while len(self._failures) > MOST:
            del self._failures[next(iter(self._failures))]

    def succeeded(self, name: str, address: str) -> None:
        """Reset the count of this name at this address."""
        self._failures.pop((name, address), None)

    @staticmethod
    def _counted(name: str, address: str) -> tuple[tuple[tuple[str, ...], int], ...]:
        return (
            ((name, address), sign_in.OF_BOTH),
            (("address", address, ""), sign_in.OF_ADDRESS),
            (("name", name, ""), sign_in.OF_NAME),
        )


def guard(handler: type[Any], door: Door) -> None:
    """Call the door before and after a handler checks a basic-auth password.

    A browser's first request has no password. It gets a 401 and is not counted.
    """
    check, write_error = handler.get_current_user, handler.write_error

    def guarded(self: Any) -> Any:
        name = _name(self.request.headers.get("Authorization", ""))
        if name is None or not self.application.options.basic_auth:
            return check(self)
        address = networks.network(self.request.remote_ip or "")
        if wait_s := door.wait_s(name, address):
            self.sign_in_wait_s = wait_s
            raise HTTPError(429, "too many attempts to sign in")
        try:
            found = check(self)
        except (HTTPError, TypeError) as error:
            door.failed(name, address)
            if isinstance(error, TypeError):  # Flower can compare only ASCII
                raise HTTPError(401) from error
            raise
        door.succeeded(name, address)
        return found

    def write_error_with_wait(self: Any, status_code: int, **more: Any) -> None:
        """Set Retry-After again, since Tornado has cleared all headers."""
        if wait_s := getattr(self, "sign_in_wait_s", 0):
            self.set_header("Retry-After", str(wait_s))
        write_error(self, status_code, **more)

    handler.get_current_user = guarded
    handler.write_error = write_error_with_wait


def _name(header: str) -> str | None:
    """Return the name in a basic-auth header. "" means unreadable, None means no header."""
    if not header:
        return None
    try:
        _, credentials = header.split()
        return b64decode(credentials.encode()).decode().partition(":")[0]
    except ValueError:
        return ""


def main() -> None:
    """Run Flower for this project's Celery app, with the options of the command line."""
    guard(BaseHandler, Door())
    logging.getLogger("tornado.general").addFilter(WarningFilter())
    sys.argv = ["celery", "-A", "project", "flower", *sys.argv[1:]]
    celery()


if __name__ == "__main__":
    main()
