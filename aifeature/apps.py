from django.apps import AppConfig


class AIFeatureConfig(AppConfig):
    """Django app with jobs, their ledger, control of features, API and pages."""

    name = "aifeature"
    verbose_name = "AI features"

    def ready(self) -> None:
        """Register the system checks and the signal handlers of sign-ins."""
        # These modules need loaded models.
        from aifeature import model_checks, system_checks  # noqa: F401, PLC0415
        from aifeature.services.sign_in import sign_ins  # noqa: F401, PLC0415
