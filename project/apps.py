from django.apps import AppConfig
from django.contrib.admin import apps as admin


class AdminConfig(admin.AdminConfig):
    """The admin, with our site."""

    default = False
    default_site = "project.admin_site.AdminSite"


class ProjectConfig(AppConfig):
    """The project itself: its commands and system checks."""

    name = "project"
    default = True

    def ready(self) -> None:
        """Register the system checks."""
        from project import system_checks  # noqa: F401, PLC0415 (apps must be loaded first)
