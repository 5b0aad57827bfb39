"""How a kill switch stands: who pulled it, when and why, and what a release may do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from django.db import Error, transaction

from aifeature.models import ControlChange, FeatureControl, KillMode, switches
from aifeature.models.switches import WouldStop
from aifeature.money import cents_up

_OWN: Final = ("feature", "killed", "kill_reason", "kill_mode", "release_percent")
"""The columns of a control that are the switch's own."""

ALL: Final = 100
"""Percent of the users for whom a switch that is off is off."""

NOT_STOPPED: Final = "It is not stopped: there is no reason to change."


@dataclass(frozen=True, slots=True)
class SwitchState:
    """One switch. While it is not `killed`, it may still be on for a part of the users."""

    slug: str
    killed: bool = False
    reason: str = ""
    mode: KillMode = KillMode.HOLD
    percent: int = ALL
    """Share of users for whom it is off while it is not killed."""

    pulled: ControlChange | None = None
    """Its last pull, with who made it; None for a row that was written past the services."""

    @property
    def partial(self) -> bool:
        """Whether it is released, but not for all users."""
        return not self.killed and self.percent < ALL

    def why_no_release(self, percent: int) -> str:
        """What is wrong with releasing it for this share of users; empty if nothing is."""
        if self.killed:
            return ""
        if not self.partial:
            return "It is not stopped: there is nothing to release."
        if percent <= self.percent:
            return (
                f"It is released for {self.percent} % of users already. Name a larger share, or"
                " stop it first."
            )
        return ""


def of(slug: str) -> SwitchState:
    """How the switch of this feature, or of GLOBAL, stands in the database now."""
    return of_all([slug]).get(slug, SwitchState(slug))


def of_all(slugs: Iterable[str]) -> Mapping[str, SwitchState]:
    """How the switches of these features stand, of those that have a control row.

    It reads the switch's own columns alone, so that a database of another release will do.
    """
    return of_rows(FeatureControl.objects.filter(feature__in=list(slugs)).only(*_OWN))


def of_rows(rows: Iterable[FeatureControl]) -> Mapping[str, SwitchState]:
    """How the switches of these rows stand, by slug: one query if any is on, else none."""
    known = list(rows)
    on = [row.feature for row in known if row.killed or row.release_percent < ALL]
    pulls = _last_pulls(on) if on else {}
    return {
        row.feature: SwitchState(
            slug=row.feature,
            killed=row.killed,
            reason=row.kill_reason,
            mode=row.known_kill_mode,
            percent=row.release_percent,
            pulled=pulls.get(row.feature),
        )
        for row in known
    }


def under_way(slug: str) -> str:
    """What a pull would stop now, for a person; also if it cannot be counted."""
    try:
        with transaction.atomic():  # its failure breaks no transaction around it
            return in_words(switches.would_stop(slug))
    except Error:
        return "jobs that cannot be counted now, since the database refuses"


def in_words(found: WouldStop) -> str:
    """What a pull would stop, for a person: `37 running, 412 queued, $1.20 held`.

    What is held is rounded up to a cent, so that it never reads as nothing.
    """
    held = cents_up(found.held_micro)
    return f"{found.running:,} running, {found.queued:,} queued, {held} held"


def _last_pulls(slugs: list[str]) -> dict[str, ControlChange]:
    pulls = (
        ControlChange.objects.filter(feature__in=slugs, field="killed", new="True")
        .select_related("user")
        .order_by("feature", "-at", "-id")
        .distinct("feature")
    )
    return {pull.feature: pull for pull in pulls}
