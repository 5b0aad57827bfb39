# ruff: noqa: INP001 (the usual name of gunicorn's settings)
"""Gunicorn's settings: `gunicorn -c deploy/gunicorn.conf.py project.asgi:application`.

HUP loads new code and refuses no connection: the old workers serve until a new one does. A release
that does not boot is refused, and the old one continues to serve. docs/decisions/web-reload.md
gives the reasons.

Environment variables hold the differences between deployments. project/env.py documents and checks
them. This file does not import it, because HUP would not reload it in the main process.

HUP reads this file again and starts workers that load `project/`, `aifeature/`, `workers/` and
`deploy/web_protocol.py`. The main process keeps `deploy/web_worker.py` and `deploy/boot_check.py`
as it loaded them: a release that changes one of these two needs a restart of the whole service.
"""

import os
import sys
from pathlib import Path
from typing import Any

from gunicorn.util import parse_address

LAST_PORT = 65_535

BASE_DIR = str(Path(__file__).resolve().parent.parent)
if BASE_DIR not in sys.path:
    sys.path.insert(0, BASE_DIR)

from deploy import boot_check  # noqa: E402 (BASE_DIR must be in the path)
from deploy.web_worker import generations  # noqa: E402


def _given(name: str, default: str) -> str:
    """Return a variable's value. It treats empty values and files as project/env.py does."""
    if path := os.environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip() or default
        except OSError as error:
            raise SystemExit(f"{name}_FILE: cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SystemExit(f"{name}_FILE: {path} is not UTF-8 text") from None
    return os.environ.get(name) or default


def _whole(name: str, default: str) -> int:
    value = _given(name, default).strip()
    if not value.isdecimal() or int(value) == 0:
        raise SystemExit(f"{name}: must be a whole number above 0 (see project/env.py)")
    return int(value)


def _addresses(name: str, default: str) -> list[str]:
    found = [part.strip() for part in _given(name, default).split(",") if part.strip()]
    if not found:
        raise SystemExit(f"{name}: names no address to listen on (see project/env.py)")
    for part in found:
        try:
            address = parse_address(part)
        except RuntimeError:
            address = ("", -1)
        if address == "" or (isinstance(address, tuple) and not 0 <= address[1] <= LAST_PORT):
            raise SystemExit(f"{name}: {part!r} is not host:port or unix:path (see project/env.py)")
    return found


chdir = BASE_DIR
# project/forwarded.py reads the headers of the proxies that FORWARDED_ALLOW_IPS names.
forwarded_allow_ips = ""
bind = _addresses("WEB_BIND", "127.0.0.1:8000")
workers = _whole("WEB_CONCURRENCY", "2")
worker_class = "deploy.web_worker.WebWorker"
# Seconds that a worker has to end. For all but the last three it drains: it answers requests on
# open connections with "Connection: close" and keeps idle ones open. A proxy or a client with a
# connection pool must close an idle connection before that time is over, and two seconds earlier
# for requests on their way: before 25 s by default. For example nginx: `keepalive_timeout 20s` in
# its `upstream` (60 s otherwise); Envoy: `idle_timeout` of the cluster (an hour otherwise). httpx
# closes after 5 s. The supervisor of this process must give it more time to end than this too: a
# pod's terminationGracePeriodSeconds is 30.
graceful_timeout = _whole("WEB_GRACEFUL_TIMEOUT", "30")
# Seconds of an idle connection while the worker serves. Longer than the time-out of the other side,
# so that the other side closes.
keepalive = 75
# Seconds until gunicorn kills a worker whose event loop stands still. A worker that ends has its
# graceful time-out first.
timeout = max(60, graceful_timeout + 15)
# Each worker loads the application, so HUP loads new code.
preload_app = False
accesslog = None
errorlog = "-"
# Its default place is the home folder, which all processes of a user share.
control_socket_disable = True


def on_reload(server: Any) -> None:
    """Make the present workers wait for the new ones. gunicorn calls it before these start."""
    generations.replaced(server.worker_age)


def when_ready(server: Any) -> None:
    """Install the boot check. gunicorn calls it once, before the first worker starts."""
    boot_check.install(server)
