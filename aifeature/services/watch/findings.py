"""The result type of the finders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem that opens an alert."""

    kind: str
    subject: str
    summary: str
    """The object, the cause and the next step."""
    figures: Mapping[str, Any] = field(default_factory=dict)
