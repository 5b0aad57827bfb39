"""A sandbox provider on a free loopback port."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workers.sandbox.app import create_app
from workers.sandbox.faults import FaultPlan
from workers.sandbox.server import build_server, listen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.applications import Starlette

    from workers.sandbox.settings import Clock, SandboxSettings
    from workers.sandbox.state import Sandbox

START_LIMIT_S = 60.0


@dataclass
class SandboxServer:
    """A running sandbox."""

    url: str
    app: Starlette

    @property
    def sandbox(self) -> Sandbox:
        sandbox: Sandbox = self.app.state.sandbox
        return sandbox

    def set_faults(self, *rules: dict[str, Any], **plan: Any) -> None:
        """Apply these rules, or none. `plan` holds other fields, such as `seed`, `rate_limits`."""
        self.sandbox.set_plan(FaultPlan.model_validate({"rules": list(rules), **plan}))

    def calls(self, attempt_id: str | None = None) -> list[dict[str, Any]]:
        """Return the recorded calls in order of arrival."""
        return self.sandbox.record.calls(attempt_id=attempt_id)

    def ended_calls(
        self, attempt_id: str | None = None, *, limit_s: float = 60.0
    ) -> list[dict[str, Any]]:
        """Return the calls when all have ended. A client may be done before the server is."""
        until = time.monotonic() + limit_s
        while True:
            calls = self.calls(attempt_id)
            if calls and all(call["ended_at"] is not None for call in calls):
                return calls
            if time.monotonic() > until:
                raise AssertionError(f"calls still running after {limit_s} s: {calls}")
            time.sleep(0.005)

    def reset(self) -> None:
        """Remove all faults and calls."""
        self.set_faults()
        self.sandbox.record.clear()


@contextmanager
def running_sandbox(
    settings: SandboxSettings | None = None, clock: Clock = time.time
) -> Iterator[SandboxServer]:
    """Run a sandbox in a thread of this process until the block ends."""
    app = create_app(settings, clock=clock)
    sock = listen("127.0.0.1", 0)
    server = build_server(app)
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[sock])), name="sandbox", daemon=True
    )
    thread.start()
    try:
        until = time.monotonic() + START_LIMIT_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > until:
                raise RuntimeError("the sandbox did not start")
            time.sleep(0.005)
        yield SandboxServer(f"http://127.0.0.1:{sock.getsockname()[1]}", app)
    finally:
        server.should_exit = True
        thread.join(START_LIMIT_S)
        sock.close()
