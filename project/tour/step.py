"""The shape of a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True, slots=True)
class Link:
    """Where a step is done."""

    url: str
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the tour."""

    slug: str
    title: str
    """An order, such as "Pull the kill switch"."""

    do: str
    """The buttons to press, in one or two sentences."""

    see: str
    """The effect, and the property of the system that it shows."""

    link: Callable[[User], Link]
    """Takes the visitor and returns the page where the step is done."""

    for_staff: bool
    """Whether only staff can do it. All other steps are open to any user."""

    is_done: Callable[[datetime], bool] | None = None
    """Takes the beginning of the tour and returns whether it was done since, by the database. None:
    it is done when its link was followed, which a signed cookie of the visitor's browser holds."""
