"""ASGI entry point: `gunicorn -c deploy/gunicorn.conf.py project.asgi:application`."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

_django = get_asgi_application()

from project.lifespan import Lifespan  # noqa: E402 (it needs the apps loaded)

application = Lifespan(_django)
