"""What a flip of the kill switch was, and whose jobs it stopped when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aifeature.policies.release import is_released

PARTLY_PERCENT: Final = 20
"""For how many users a switch that held is released first."""

FOR_EVER: Final = float("inf")


@dataclass(slots=True)
class Flip:
    """One flip. Times in seconds since the epoch, by the database's clock."""

    slug: str
    """A feature's, or `_everything`."""

    cancels: bool
    asked_at: float
    """When the person at the desk began to pull it."""

    stopped_at: float
    """When it was pulled for sure."""

    partly_from: float | None = None
    """When the release for some of the users began; None: there was none."""

    released_from: float | None = None
    """When the release for all began."""

    released_at: float | None = None
    """When that was over."""

    def stops_until(self, user_id: int | None) -> float:
        """Until when this user's jobs were stopped for sure; None: calls of nobody, as probes are.

        Those go on as soon as the switch is released for some users.
        """
        end = FOR_EVER if self.released_from is None else self.released_from
        if self.partly_from is None:
            return end
        goes_on = user_id is None or is_released(self.slug, user_id, percent=PARTLY_PERCENT)
        return self.partly_from if goes_on else end
