"""Another release of the code: a copy in a folder of its own, changed as a test wants it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from project.stack.local_dir import CHECKOUT

PARTS = ("project", "aifeature", "workers", "evals", "deploy", "manage.py")


@dataclass(frozen=True, slots=True)
class Release:
    """A folder with the whole code; processes that start in it run it."""

    folder: Path

    def write(self, path: str, text: str) -> None:
        """Add a file, or put another in its place."""
        (self.folder / path).write_text(text)

    def edit(self, path: str, old: str, new: str) -> str:
        """Replace a passage that stands in the file once. Returns the file's text before."""
        text = (self.folder / path).read_text()
        assert text.count(old) == 1, f"{path} has changed, name another passage: {old!r}"
        self.write(path, text.replace(old, new))
        return text


def next_release(folder: Path) -> Release:
    """A copy of this code, to be changed."""
    folder.mkdir(exist_ok=True)
    for part in PARTS:
        source = CHECKOUT / part
        if source.is_dir():
            # Compiled files too, or each start compiles; but for those that a process which
            # compiles just now is about to rename: they may be gone before they are copied.
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("*.pyc.*"))
        else:
            shutil.copy(source, folder / part)
    return Release(folder)
