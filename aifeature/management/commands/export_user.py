"""`manage.py export_user NAME [--output FILE]`: export a person's data as JSON."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from aifeature.services.privacy import export

OWNER_ONLY = 0o600


class Command(BaseCommand):
    help = (
        "Write all data stored about a person as one JSON document: account, tokens (never the"
        " secret), jobs with their content, provider calls, changes they made."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument(
            "--output", type=Path, help="A new file that only you can read. Default: the screen."
        )

    def handle(self, *, username: str, output: Path | None, **_: Any) -> None:
        users = get_user_model()
        user = users.objects.filter(**{users.USERNAME_FIELD: username}).first()
        if user is None:
            raise CommandError(f"There is no user named {username!r}.")
        pieces = export.document(user)
        if output is None:
            for piece in pieces:
                self.stdout.write(piece, ending="")
            return
        _write(output, pieces)
        self.stdout.write(f"Wrote {output}, {output.stat().st_size:,} bytes. Only you can read it.")


def _write(output: Path, pieces: Any) -> None:
    """Write the whole file or none: a partial file must not look complete."""
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    except FileExistsError:
        raise CommandError(f"{output} exists: name another file, or move it.") from None
    except OSError as error:
        raise CommandError(f"{output} cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            for piece in pieces:
                file.write(piece)
    except BaseException as error:
        output.unlink()
        if isinstance(error, OSError):
            raise CommandError(f"{output} cannot be written: {error.strerror}.") from None
        raise
