"""What stops the local stack. Each message is one line that names the cause and the fix."""

from __future__ import annotations

import signal


class StackError(Exception):
    """The stack cannot go on; the message is for the person at the terminal."""

    exit_code = 1


class ConfigError(StackError):
    """An environment variable is wrong, or what it names cannot be reached."""

    exit_code = 2


class AlreadyRunningError(StackError):
    """A stack of this checkout runs already."""


class ComponentFailedError(StackError):
    """A component died, or did not get ready in time."""


class StoppedError(StackError):
    """A signal asked the stack to end before it had done what it was started for."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum
        self.exit_code = 128 + signum
