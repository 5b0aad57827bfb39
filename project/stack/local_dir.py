"""The folder that holds all files of the local stack."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
LIVE_EVIDENCE = CHECKOUT / ".local" / "evidence-live.json"
"""The evidence of `make evals-live`, for the local stack."""


@dataclass(frozen=True, slots=True)
class LocalDir:
    """Paths in the data folder: `.local` in the checkout, or the folder in LOCAL_DIR."""

    root: Path

    @classmethod
    def from_environ(cls) -> LocalDir:
        """Return the data folder of this checkout."""
        return cls(Path(os.environ.get("LOCAL_DIR") or CHECKOUT / ".local").resolve())

    @property
    def pids(self) -> Path:
        """The folder with one pid file for each process of the stack."""
        return self.root / "pids"

    @property
    def logs(self) -> Path:
        """The folder with the output of each process."""
        return self.root / "logs"

    @property
    def postgres(self) -> Path:
        """The folder of the embedded PostgreSQL."""
        return self.root / "postgres"

    @property
    def valkey(self) -> Path:
        """The working folder of the embedded Valkey, which stores no data."""
        return self.root / "valkey"

    @property
    def secrets_file(self) -> Path:
        """The file with the generated passwords and keys."""
        return self.root / "secrets.json"

    @property
    def env_file(self) -> Path:
        """The environment of the running stack, for `manage.py` in another terminal."""
        return self.root / "stack.env"

    @property
    def lock_file(self) -> Path:
        """The lock file of the running stack, with its pid and address."""
        return self.root / "stack.lock"

    def prepare(self) -> None:
        """Make the folders. Only their owner can read them; PostgreSQL's user can pass through."""
        self.root.mkdir(parents=True, exist_ok=True)
        # For root, PostgreSQL runs as another user, which must reach its own folder.
        self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for folder in (self.pids, self.logs):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
