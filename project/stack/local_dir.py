"""The one folder that holds everything the local stack writes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True)
class LocalDir:
    """Paths below the data folder: `.local` in the checkout, or what LOCAL_DIR names."""

    root: Path

    @classmethod
    def from_environ(cls) -> LocalDir:
        """The data folder of this checkout, resolved."""
        return cls(Path(os.environ.get("LOCAL_DIR") or CHECKOUT / ".local").resolve())

    @property
    def pids(self) -> Path:
        """One file for each process the stack started."""
        return self.root / "pids"

    @property
    def logs(self) -> Path:
        """Full output of each process."""
        return self.root / "logs"

    @property
    def postgres(self) -> Path:
        """Data of the embedded PostgreSQL."""
        return self.root / "postgres"

    @property
    def valkey(self) -> Path:
        """Working folder of the embedded Valkey, which keeps nothing in it."""
        return self.root / "valkey"

    @property
    def secrets_file(self) -> Path:
        """Passwords and keys, generated once."""
        return self.root / "secrets.json"

    @property
    def env_file(self) -> Path:
        """The running stack's environment, read by `manage.py` in another terminal."""
        return self.root / "stack.env"

    @property
    def lock_file(self) -> Path:
        """Locked by the one stack that runs here; says its pid and address."""
        return self.root / "stack.lock"

    def prepare(self) -> None:
        """Make the folders. Only their owner may look inside, but PostgreSQL's user may pass."""
        self.root.mkdir(parents=True, exist_ok=True)
        # As root the database runs as another user, who has to get through to its own folder.
        self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for folder in (self.pids, self.logs):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; it is never there half-written."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
