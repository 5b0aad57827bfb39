"""The Django project. The Celery app is loaded with it, so that services can send by name."""

from project.celery import app as celery_app

__all__ = ["celery_app"]
