# ruff: noqa: INP001 (gunicorn looks for this name)
"""Gunicorn's settings: `gunicorn -c deploy/gunicorn.conf.py project.asgi:application`.

HUP loads the code anew without refusing a connection: the old workers serve until a new one does.
A release that does not boot is refused, and the old one serves on.
What differs between deployments comes from the environment; project/env.py documents and checks
it. It is not imported here, or HUP would keep the old one.

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

from deploy import boot_check  # noqa: E402 (found only now)
from deploy.web_worker import generations  # noqa: E402


def _given(name: str, default: str) -> str:
    """Return a variable's value. Empty ones and files are read as in project/env.py."""
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
# project/forwarded.py reads what proxies say of a visitor, by FORWARDED_ALLOW_IPS.
forwarded_allow_ips = ""
bind = _addresses("WEB_BIND", "127.0.0.1:8000")
workers = _whole("WEB_CONCURRENCY", "2")
worker_class = "deploy.web_worker.WebWorker"
# Seconds a worker has to end. It lingers for all but the last three of them: requests on open
# connections are answered, with "Connection: close", and idle ones stay open. So whoever keeps
# connections, a proxy or a client with a pool, must give up an idle one sooner than that, and two
# seconds more for requests on their way: after less than 25 s by default. For example nginx in
# front: `keepalive_timeout 20s` in its `upstream` (60 s otherwise); Envoy: `idle_timeout` of the
# cluster (an hour otherwise). Clients with httpx do it after 5 s. What supervises this process
# must let it end for longer than this too: a pod's terminationGracePeriodSeconds is 30.
graceful_timeout = _whole("WEB_GRACEFUL_TIMEOUT", "30")
# While the worker serves. Longer than the same idle time-out, so that the other side hangs up.
keepalive = 75
# Of a worker whose event loop stands still; one that is ending has its graceful time-out first.
timeout = max(60, graceful_timeout + 15)
# The application is loaded in each worker, so that HUP brings new code.
preload_app = False
accesslog = None
errorlog = "-"
# It would lie in the home folder, shared by everything that runs as the same user.
control_socket_disable = True


def on_reload(server: Any) -> None:
    """Before the new workers start: the present ones wait for them."""
    generations.replaced(server.worker_age)


def when_ready(server: Any) -> None:
    """Once, before the first worker starts."""
    boot_check.install(server)
