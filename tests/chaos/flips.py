"""A flip of the kill switch, and the jobs that it stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aifeature.policies.release import is_released

PARTLY_PERCENT: Final = 20
"""Share of the users that a held switch is released to first."""

FOR_EVER: Final = float("inf")


@dataclass(slots=True)
class Flip:
    """One flip. Times in seconds since the epoch, by the database's clock."""

    slug: str
    """A feature or `_everything`."""

    cancels: bool
    asked_at: float
    """When the operator began to pull it."""

    stopped_at: float
    """When it was certainly pulled."""

    partly_from: float | None = None
    """When the release for some users began; None: there was none."""

    released_from: float | None = None
    """When the release for all users began."""

    released_at: float | None = None
    """When that release ended."""

    def stops_until(self, user_id: int | None) -> float:
        """Return the time until which this user's jobs were certainly stopped.

        None means calls of no user, such as probes. They continue at the first partial release.
        """
        end = FOR_EVER if self.released_from is None else self.released_from
        if self.partly_from is None:
            return end
        goes_on = user_id is None or is_released(self.slug, user_id, percent=PARTLY_PERCENT)
        return self.partly_from if goes_on else end
