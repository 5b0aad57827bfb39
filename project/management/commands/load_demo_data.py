"""`manage.py load_demo_data`: 28 synthetic days for the local stack."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from project import local_features
from project.demo_data import loading
from project.demo_data.loading import Note
from project.demo_data.rules import RefusedError


class Command(BaseCommand):
    """Only the local stack may run it. A second run changes nothing."""

    help = (
        "Load 28 synthetic days of requests into an unused database of the local stack. Every page"
        " then says that they are made up."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Load the data.

        Raises:
            CommandError: this database may not get them, or this is not the local stack.
        """
        if not settings.ENV.local_stack:
            raise CommandError("Synthetic data are for the local stack: run `make demo`.")
        try:
            note = _load(self.stdout.write)
        except RefusedError as refused:
            raise CommandError(str(refused)) from None
        for line in (note, *local_features.update()):
            self.stdout.write(line)


def loaded(note: Note) -> str:
    """Load the data if this database may get them. Return a sentence about what was done."""
    try:
        return _load(note)
    except RefusedError as refused:
        return str(refused)


def _load(note: Note) -> str:
    begun = time.monotonic()
    found = loading.load(note=note)
    seconds = time.monotonic() - begun
    return f"{found['jobs']:,} made-up requests of 28 days were loaded in {seconds:.1f} s."
