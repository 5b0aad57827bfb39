"""State of a kill switch: its last pull, its reason, and the valid releases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from django.db import Error, transaction

from aifeature.models import ControlChange, FeatureControl, KillMode, switches
from aifeature.models.switches import WouldStop
from aifeature.money import cents_up

_OWN: Final = ("feature", "killed", "kill_reason", "kill_mode", "release_percent")
"""Columns of a control that belong to the switch."""

ALL: Final = 100
"""`release_percent` of a switch that is released for all users."""

NOT_STOPPED: Final = "It is not stopped: there is no reason to change."


@dataclass(frozen=True, slots=True)
class SwitchState:
    """State of one switch. A switch that is not `killed` may still be on for some users."""

    slug: str
    killed: bool = False
    reason: str = ""
    mode: KillMode = KillMode.HOLD
    percent: int = ALL
    """Share of users that it is released for, if it is not killed."""

    pulled: ControlChange | None = None
    """Audit row of the last pull; None if the row was not written by the services."""

    @property
    def partial(self) -> bool:
        """Whether it is released for only a share of the users."""
        return not self.killed and self.percent < ALL

    def why_no_release(self, percent: int) -> str:
        """Return why a release for this share is invalid; empty if it is valid."""
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
    """Return the current state of one switch from the database."""
    return of_all([slug]).get(slug, SwitchState(slug))


def of_all(slugs: Iterable[str]) -> Mapping[str, SwitchState]:
    """Return the states of these switches by slug. Features without a control row are left out.

    It reads only the switch's columns, so it works with the schema of another release.
    """
    return of_rows(FeatureControl.objects.filter(feature__in=list(slugs)).only(*_OWN))


def of_rows(rows: Iterable[FeatureControl]) -> Mapping[str, SwitchState]:
    """Return the states of the rows' switches by slug. One query if any switch is on, else none."""
    controls = list(rows)
    on = [row.feature for row in controls if row.killed or row.release_percent < ALL]
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
        for row in controls
    }


def under_way(slug: str) -> str:
    """Describe what a pull would stop now. Works even if the jobs cannot be counted."""
    try:
        with transaction.atomic():  # a failure must not break the outer transaction
            return in_words(switches.would_stop(slug))
    except Error:
        return "jobs that cannot be counted now, since the database refuses"


def in_words(found: WouldStop) -> str:
    """Describe what a pull would stop: `37 running, 412 queued, $1.20 held`.

    The held amount is rounded up to a cent, so a small amount never shows as zero.
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
