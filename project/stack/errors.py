"""Errors that stop the local stack. Each message is one line with the cause and the fix."""

from __future__ import annotations

import signal


class StackError(Exception):
    """The stack cannot continue. The message appears on the terminal."""

    exit_code = 1


class ConfigError(StackError):
    """An environment variable is wrong, or the service that it names cannot be reached."""

    exit_code = 2


class AlreadyRunningError(StackError):
    """A stack of this checkout is already running."""


class ComponentFailedError(StackError):
    """A component died, or was not ready in time."""


class TimeLimitError(ComponentFailedError):
    """A step did not end in time."""


class ReloadError(Exception):
    """Changed code was not loaded into all components. The stack continues."""


class NewerChangeError(Exception):
    """A newer change was saved while one was checked. The newer one is checked next."""


class StoppedError(StackError):
    """A signal ended the stack before its work was done."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum
        self.exit_code = 128 + signum
