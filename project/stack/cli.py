"""`manage.py stack`: needs no environment variables, because it sets them itself."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from project.stack.console import complain, say
from project.stack.errors import StackError
from project.stack.instance import single_instance, stop_running
from project.stack.local_dir import LocalDir
from project.stack.plan import Mode, RealPlan
from project.stack.runner import clean_up, run_stack

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Run the command.

    Args:
        argv: The arguments after `manage.py stack`.

    Returns:
        The exit code: 0 success, 1 a process died or a step failed, 2 the environment is wrong,
        128 + n for signal n before the work was done.
    """
    options = _parser().parse_args(argv)
    local = LocalDir.from_environ()
    try:
        if options.stop:
            return _stop(local)
        mode: Mode = "demo" if options.demo else "smoke" if options.smoke else "stay"
        plan = partial(RealPlan, mode, is_empty=options.empty)
        return run_stack(local, plan, verbose=options.verbose)
    except StackError as error:
        complain(str(error))
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="manage.py stack", description="Run the whole system on this machine."
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--demo", action="store_true", help="run one real job, then stay up")
    what.add_argument("--smoke", action="store_true", help="run one real job, then stop")
    what.add_argument("--stop", action="store_true", help="stop the stack of this checkout")
    parser.add_argument("--empty", action="store_true", help="with --demo: load no synthetic days")
    parser.add_argument("-v", "--verbose", action="store_true", help="show all output")
    return parser


def _stop(local: LocalDir) -> int:
    if local.root.exists() and stop_running(local):
        say("the running stack was stopped")
    else:
        say("no stack of this checkout is running")
    if not local.root.exists():
        return 0
    local.prepare()
    with single_instance(local):
        clean_up(local)
    return 0
