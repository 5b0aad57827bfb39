"""The error of a command that cannot be carried out."""

from __future__ import annotations


class UsageError(Exception):
    """The command cannot be carried out. The text names the cause and the fix."""
