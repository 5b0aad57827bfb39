# ruff: noqa: INP001 (gunicorn looks for this name)
"""Gunicorn's settings: `gunicorn -c deploy/gunicorn.conf.py project.asgi:application`.

HUP loads the code anew without refusing a connection: the old workers serve until a new one does.
A release that does not boot is refused, and the old one serves on.
What differs between deployments comes from the environment; project/env.py documents and checks
it. It is not imported here, or HUP would keep the old one.
"""

import os
import sys
from pathlib import Path
from typing import Any

BASE_DIR = str(Path(__file__).resolve().parent.parent)
if BASE_DIR not in sys.path:
    sys.path.insert(0, BASE_DIR)

from deploy import boot_check  # noqa: E402 (found only now)
from deploy.web_worker import generations  # noqa: E402

chdir = BASE_DIR
# Proxies that may say who a visitor is. By default nobody: the header would be the visitor's own.
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "")
bind = [part.strip() for part in os.environ.get("WEB_BIND", "127.0.0.1:8000").split(",")]
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "deploy.web_worker.WebWorker"
# Seconds a worker has to end. It lingers for all but the last three of them: requests on open
# connections are answered, with "Connection: close", and idle ones stay open. So whoever keeps
# connections, a proxy or a client with a pool, must give up an idle one sooner than that, and two
# seconds more for requests on their way: after less than 25 s by default. For example nginx in
# front: `keepalive_timeout 20s` in its `upstream` (60 s otherwise); Envoy: `idle_timeout` of the
# cluster (an hour otherwise). Clients with httpx do it after 5 s. What supervises this process
# must let it end for longer than this too: a pod's terminationGracePeriodSeconds is 30.
graceful_timeout = int(os.environ.get("WEB_GRACEFUL_TIMEOUT", "30"))
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
