from django.apps import AppConfig
from django.contrib.admin import apps as admin

from project import celery  # noqa: F401 (services send tasks by name, with the current app)


class AdminConfig(admin.AdminConfig):
    """Django's admin with this project's site."""

    default = False
    default_site = "project.admin_site.AdminSite"


class ProjectConfig(AppConfig):
    """The project's commands and system checks."""

    name = "project"
    default = True

    def ready(self) -> None:
        from project import system_checks  # noqa: F401, PLC0415 (apps must be loaded first)
