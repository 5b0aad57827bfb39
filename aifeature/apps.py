from django.apps import AppConfig


class AIFeatureConfig(AppConfig):
    """The Django app: jobs, their ledger, control of features, API and pages."""

    name = "aifeature"
    verbose_name = "AI features"

    def ready(self) -> None:
        """Register the system checks."""
        from aifeature import checks  # noqa: F401, PLC0415 (models must be loaded first)
