"""ASGI entry point: `gunicorn -c deploy/gunicorn.conf.py project.asgi:application`."""

import gc
import os

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

# Loading leaves hardly any garbage, and the search for it takes a fifth of the start's CPU time.
gc.disable()

django.setup(set_prefix=False)

from django.core.management.base import BaseCommand  # noqa: E402 (these need the apps loaded)

from project.concurrency import Concurrency  # noqa: E402
from project.forwarded import Forwarded  # noqa: E402
from project.handler import Handler  # noqa: E402
from project.lifespan import Lifespan  # noqa: E402
from project.readable import Readable  # noqa: E402

application = Lifespan(Forwarded(Readable(Concurrency(Handler())), settings.FORWARDED_ALLOW_IPS))

# The checks load all code that a request may need. A request after the next release has replaced
# the files would load the new code into the old process. Errors end the process.
BaseCommand().check()

# Later searches leave out the loaded code.
gc.freeze()
gc.enable()
