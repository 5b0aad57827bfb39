"""ASGI entry point: `gunicorn -c deploy/gunicorn.conf.py project.asgi:application`."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

_django = get_asgi_application()

from project.concurrency import Concurrency  # noqa: E402 (they need the apps loaded)
from project.lifespan import Lifespan  # noqa: E402

application = Lifespan(Concurrency(_django))
