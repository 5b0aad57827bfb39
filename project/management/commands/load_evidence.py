"""`manage.py load_evidence FILE`: load evidence of prompts that another system made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from aifeature import registry
from aifeature.services import controls
from aifeature.services.promotion import activations, local_stack
from aifeature.spec import Feature
from evals.recorded import RecordedError
from project import local_features


class Command(BaseCommand):
    """Loads each row once. A second run changes nothing."""

    help = (
        "Load a file of evidence that `python -m evals export` wrote, and open again what a deploy"
        " has closed. See docs/operations/evaluations.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *, file: Path, **_: Any) -> None:
        """Load the file. It changes nothing if it raises CommandError."""
        offered = registry.offered().values()
        before = {feature.slug: _served(feature) for feature in offered}
        try:
            count = local_features.load(file)
        except RecordedError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"New rows of evidence: {count}.")
        for feature in offered:
            activations.settle(feature)
        if settings.ENV.local_stack and local_features.has_demo_users_only():
            local_stack.open_features()
        for feature in offered:
            self.stdout.write(_usable(feature, before[feature.slug]))


def _served(feature: Feature) -> str | None:
    controls.clear_cache()
    return controls.live_version(feature)


def _usable(feature: Feature, before: str | None) -> str:
    slug, version, live = feature.slug, feature.prompt_version, _served(feature)
    if live != before:
        return f"{slug} {live} is live now."
    if live == version:
        return f"{slug} {live} is live, as before."
    if problem := local_features.why_not(feature):
        return f"{slug}: {f'{live} is live' if live else 'staff only'}, as before. {problem}"
    return f"{slug} {version} may be activated: manage.py prompts activate {slug} {version}"
