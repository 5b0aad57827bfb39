"""The releases that ran here. A process records its own at its start."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import connection, transaction

from aifeature.models import Release

_PACKAGES: Final = ("project", "aifeature", "workers", "evals")
_SUFFIXES: Final = (".py", ".md", ".sql", ".html")
_DIGITS: Final = 10

_LOCK: Final = 718_205_311
"""Key of the advisory lock of `record`."""


def at_boot() -> list[str]:
    """Record the release of this process. Return no warnings."""
    record(name())
    return []


def record(release: str) -> bool:
    """Add a row if another release started last. Return whether it was added.

    Processes of two releases that start by turns during a deploy add a row for each turn.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        newest = Release.objects.order_by("-id").first()
        if newest is not None and newest.name == release:
            return False
        Release.objects.create(name=release, replaces=newest.name if newest else "")
    return True


@cache
def name() -> str:
    """Return the name of this release: the setting RELEASE, else a digest of the source files."""
    return settings.AIFEATURE["RELEASE"] or digest(settings.BASE_DIR)


def digest(root: Path) -> str:
    """Return a short digest of names and contents of the source files in `root`."""
    found = hashlib.sha256()
    for path in sorted(_files(root)):
        content = Path(path).read_bytes()
        found.update(f"{path.removeprefix(str(root))} {len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()[:_DIGITS]


def _files(root: Path) -> Iterator[str]:
    for package in _PACKAGES:
        for folder, folders, names in os.walk(root / package):
            folders[:] = [each for each in folders if not each.startswith((".", "__"))]
            yield from (f"{folder}/{each}" for each in names if each.endswith(_SUFFIXES))
