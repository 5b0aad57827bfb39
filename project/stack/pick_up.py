"""Load new and changed features into the running local stack.

The files of the features are polled. A change is checked in a process of its own before any
component loads it, so a broken feature leaves the running system as it is.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from project.stack.console import complain, say
from project.stack.errors import ComponentFailedError, NewerChangeError, ReloadError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from project.stack.supervisor import Reload

POLL_S: Final = 0.5
KINDS: Final = (".py", ".md", ".toml", ".txt")

ERROR: Final = re.compile(
    r"^\S+: \(\w+\.E\d+\) (?P<problem>.*)(?:\n\tHINT: (?P<fix>.*))?", re.MULTILINE
)
"""An error in the output of Django's system checks."""

Files = dict["Path", tuple[int, int]]
"""The time of the last change and the size of each file."""


class PickUp:
    """Polls a folder of features. Call it often."""

    def __init__(self, folder: Path, check: Callable[[Callable[[], None]], None], url: str) -> None:
        """Begin with the present files.

        Args:
            folder: Each folder in it is a feature.
            check: Checks the present files and opens new features. It calls the given function
                while it waits, which raises if there is a newer change. Raises
                ComponentFailedError.
            url: The address of the web component, with a final slash.
        """
        self._folder, self._check, self._url = folder, check, url
        self._loaded = self._checked = self._seen = files(folder)
        self._is_partly_down = False
        self._next_s = 0.0

    def is_changed(self) -> bool:
        """Return whether the files differ from those that all components have loaded."""
        return self._is_partly_down or files(self._folder) != self._loaded

    def forget(self) -> None:
        """Load the next files that differ from these, also if they are those of before."""
        self._is_partly_down = True

    def __call__(self, reload: Reload) -> None:
        """Load a change, if there is one, once all its files are written."""
        if time.monotonic() < self._next_s:
            return
        before, self._seen = self._seen, files(self._folder)
        if before == self._seen != self._checked:
            self._checked = self._seen
            changed = self._changed()
            if changed or self._is_partly_down:
                self._load(changed, reload)
        self._next_s = time.monotonic() + POLL_S

    def _load(self, changed: Mapping[str, bool], reload: Reload) -> None:
        names = ", ".join(changed) or "back to the loaded files"
        say(f"changed: {names}; checking it")
        try:
            self._check(self._refuse_newer)
        except NewerChangeError:
            self._checked = {}  # these files may come back
            return
        except ComponentFailedError as error:
            complain(f"not loaded: {names}. The running system continues. {in_short(str(error))}")
            return
        try:
            reload(self._is_newer)
        except ReloadError as error:
            # Some components may have loaded it, so that its return to the old files is a change.
            self._loaded = dict(self._loaded.items() & self._checked.items())
            self.forget()
            complain(f"not loaded everywhere: {names}. Save a change to try again. {error}")
            return
        self._loaded, self._is_partly_down = self._checked, False
        for name, is_there in changed.items():
            say(
                f"feature {name} is ready: {self._url}f/{name}/"
                if is_there
                else f"feature {name} is gone"
            )

    def _is_newer(self) -> bool:
        return files(self._folder) != self._checked

    def _refuse_newer(self) -> None:
        if self._is_newer():
            raise NewerChangeError

    def _changed(self) -> dict[str, bool]:
        """Return the changed features, and whether each has files."""
        paths = {path for path, _ in self._loaded.items() ^ self._checked.items()}
        names = {path.relative_to(self._folder).parts[0] for path in paths}
        there = {path.relative_to(self._folder).parts[0] for path in self._checked}
        return {name: name in there for name in sorted(names)}


def files(folder: Path) -> Files:
    """Return the code, prompts and knowledge of all features, without temporary files."""
    found: Files = {}
    with suppress(FileNotFoundError):  # a folder is deleted now: the next poll is complete
        for path in folder.rglob("*/*"):
            parts = path.relative_to(folder).parts
            if path.suffix in KINDS and not any(part.startswith((".", "#")) for part in parts):
                with suppress(FileNotFoundError):
                    now = path.stat()
                    found[path] = (now.st_mtime_ns, now.st_size)
    return found


def in_short(output: str) -> str:
    """Return the first error that a check printed with its fix, and the number of the others."""
    errors = list(ERROR.finditer(output))
    if not errors:
        return (output.strip().splitlines() or ["The check failed."])[-1]
    more = f" {len(errors) - 1} more: manage.py check." if len(errors) > 1 else ""
    first = errors[0]
    return f"{first['problem']}{more}" + (f"\n    {first['fix']}" if first["fix"] else "")
