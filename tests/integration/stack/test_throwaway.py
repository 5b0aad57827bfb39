"""Processes that were started beside the servers of a run end with them."""

from __future__ import annotations

import os

from project.stack.children import PYTHON
from project.stack.processes import RUN_VARIABLE
from project.stack.throwaway import running


def test_a_process_that_was_started_beside_the_servers_ends_with_them() -> None:
    with running(database=False) as servers:
        guest = servers.launcher.launch(
            "guest",
            [PYTHON, "-c", "import time; time.sleep(3600)"],
            env={**os.environ, RUN_VARIABLE: servers.launcher.run},
        )
    assert guest.process.wait(60) != 0
