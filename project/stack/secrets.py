"""Keys and passwords of the local stack: random, generated once, readable only by their owner."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass

from project.stack.local_dir import LocalDir, write_private

STAFF = "staff"
"""The demo user who may use admin."""

API_USER = "ada"
"""The demo user with an API token. The demo runs as this user."""

DEMO_USERS = (STAFF, API_USER, "bob")
"""All but the first one are normal users."""

FLOWER_USER = "flower"


@dataclass(frozen=True, slots=True)
class Secrets:
    """The content of `secrets.json`."""

    secret_key: str
    flower_password: str
    passwords: dict[str, str]
    """By demo user, the password."""

    demo_token: str
    """The API token of `API_USER`."""

    cookie_suffix: str
    """A suffix for this checkout, because the stacks of two checkouts share a host name."""


def load_secrets(local: LocalDir) -> Secrets:
    """Return the secrets of the last start, or new ones."""
    try:
        found = json.loads(local.secrets_file.read_text())
    except (FileNotFoundError, ValueError):
        found = {}
    kept = found if isinstance(found, dict) else {}
    passwords = kept.get("passwords") or {}
    values = Secrets(
        kept.get("secret_key") or secrets.token_urlsafe(48),
        kept.get("flower_password") or secrets.token_urlsafe(9),
        {name: passwords.get(name) or secrets.token_urlsafe(9) for name in DEMO_USERS},
        kept.get("demo_token") or f"aif_{secrets.token_urlsafe(32)}",
        kept.get("cookie_suffix") or secrets.token_hex(4),
    )
    write_private(local.secrets_file, json.dumps(asdict(values), indent=1) + "\n")
    return values
