"""Another release of the code: a copy in its own folder, which a test can change."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from project.stack.local_dir import CHECKOUT

PARTS = ("project", "aifeature", "workers", "evals", "deploy", "manage.py")


@dataclass(frozen=True, slots=True)
class Release:
    """A folder with all of the code. Processes that start in it run that code."""

    folder: Path

    def write(self, path: str, text: str) -> None:
        """Add or replace a file."""
        (self.folder / path).write_text(text)

    def edit(self, path: str, old: str, new: str) -> str:
        """Replace a passage that occurs once in the file. Return the file's text before that."""
        text = (self.folder / path).read_text()
        assert text.count(old) == 1, f"{path} has changed, name another passage: {old!r}"
        self.write(path, text.replace(old, new))
        return text


def next_release(folder: Path) -> Release:
    """Return a copy of this code."""
    folder.mkdir(exist_ok=True)
    for part in PARTS:
        source = CHECKOUT / part
        if source.is_dir():
            # Compiled files are copied too, otherwise each start compiles. Their temporary files
            # are not: another process may rename them during the copy.
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("*.pyc.*"))
        else:
            shutil.copy(source, folder / part)
    return Release(folder)
