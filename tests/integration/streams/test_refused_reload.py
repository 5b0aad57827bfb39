"""A reload to a release that does not boot is refused."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import httpx2
import pytest

from tests.integration.streams.test_reload import GUNICORN
from tests.integration.streams.web_server import WebServer, running
from tests.releases import next_release

pytestmark = pytest.mark.slow

BOUND_S = 60.0
BROKEN = {
    "deploy/gunicorn.conf.py": "workers = = 2\n",
    "project/asgi.py": "raise RuntimeError('not this one')\n",
    "aifeature/web/views.py": "from aifeature.web import nothing_of_the_kind\n",
}
"""Files that the main process, the workers and the requests load, one of each kind."""


@pytest.mark.timeout(400)
def test_a_release_that_does_not_boot_is_refused_and_the_old_one_serves(tmp_path: Path) -> None:
    release = next_release(tmp_path / "release")
    log = tmp_path / "web.log"
    with running(GUNICORN, log, cwd=release.folder, WEB_CONCURRENCY="1") as server:
        workers = server.workers()
        for refused, (path, text) in enumerate(BROKEN.items(), start=1):
            before = (release.folder / path).read_text()
            release.write(path, text)
            server.process.send_signal(signal.SIGHUP)
            serves_until_refused(server, refused)
            assert server.workers() == workers
            release.write(path, before)
        server.reload()
        assert not server.workers() & workers


def serves_until_refused(server: WebServer, times: int) -> None:
    until = time.monotonic() + BOUND_S
    with httpx2.Client(trust_env=False, timeout=BOUND_S) as client:
        while server.log.read_text().count("HUP refused") < times:
            assert time.monotonic() < until, server.log.read_text()
            assert client.get(f"{server.url}/healthz").status_code == 200
            time.sleep(0.1)
