"""One line of the measure of a guard."""

from __future__ import annotations

from dataclasses import dataclass

from evals.statistics.intervals import Interval, wilson


@dataclass(frozen=True, slots=True)
class Row:
    """A rate over labelled cases."""

    name: str
    """The name of the measured class, such as `email`."""

    figure: str
    """The kind of figure: `recall`, `precision` or `false alarms`."""

    hits: int
    total: int

    @property
    def rate(self) -> float:
        """The share of hits. 1 if nothing was counted: a guard that found nothing erred never."""
        return self.hits / self.total if self.total else 1.0

    @property
    def interval(self) -> Interval:
        """The Wilson interval at 95 %."""
        return wilson(self.rate, self.total) if self.total else Interval(0.0, 1.0)

    def __str__(self) -> str:
        low, high = self.interval.low, self.interval.high
        return (
            f"{self.name:<28} {self.figure:<12} {self.rate:6.3f}  [{low:.3f}, {high:.3f}]"
            f"  {self.hits}/{self.total}"
        )
