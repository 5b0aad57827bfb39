#!/usr/bin/env python
"""Django's command line, and `stack`, which creates the environment of the other commands."""

from __future__ import annotations

import gc
import os
import sys

RARELY = 100_000
"""New objects between two searches for garbage."""


def main() -> int:
    """Run one command, and return its exit code."""
    if sys.argv[1:2] == ["stack"]:
        from project.stack.cli import main as stack  # noqa: PLC0415  # a development dependency

        return stack(sys.argv[2:])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    # A command loads much code and ends soon. The usual search takes a fifth of its CPU time.
    gc.set_threshold(RARELY)
    from django.core.management import execute_from_command_line  # noqa: PLC0415  # after the above

    execute_from_command_line(sys.argv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
