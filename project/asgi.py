"""ASGI entry point: `gunicorn -c deploy/gunicorn.conf.py project.asgi:application`."""

import os

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

django.setup(set_prefix=False)

from project.concurrency import Concurrency  # noqa: E402 (these need the apps loaded)
from project.forwarded import Forwarded  # noqa: E402
from project.handler import Handler  # noqa: E402
from project.lifespan import Lifespan  # noqa: E402
from project.readable import Readable  # noqa: E402

application = Lifespan(Forwarded(Readable(Concurrency(Handler())), settings.FORWARDED_ALLOW_IPS))
