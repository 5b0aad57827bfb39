"""ASGI entry point: `gunicorn project.asgi:application -k uvicorn_worker.UvicornWorker`."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

application = get_asgi_application()
