from django.apps import AppConfig


class EvalsConfig(AppConfig):
    """Django app with runs of evaluations and their outputs."""

    name = "evals"
    verbose_name = "Evaluations"
    default_auto_field = "django.db.models.BigAutoField"
