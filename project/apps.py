from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """The project itself: its commands and system checks."""

    name = "project"

    def ready(self) -> None:
        """Register the system checks."""
        from project import checks  # noqa: F401, PLC0415 (apps must be loaded first)
