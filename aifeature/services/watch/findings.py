"""Something that the watchers found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """What becomes an alert."""

    kind: str
    subject: str
    summary: str
    """One sentence or two: the object, the cause, the next step."""
    figures: Mapping[str, Any] = field(default_factory=dict)
