"""Choices among the current rows, by numbers that Hypothesis has drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Dice:
    """A few numbers, used in turn and then again from the first.

    The order in which two waiting calls get a lock may vary. So the draws of Hypothesis must not
    depend on the state: the same draws with another outcome would count as a flaky test.
    """

    numbers: tuple[int, ...]
    used: int = field(default=0, repr=False)

    def below(self, limit: int) -> int:
        """Return a number from 0 to `limit - 1`."""
        number = self.numbers[self.used % len(self.numbers)]
        self.used += 1
        return number % limit

    def one_of(self, items: Sequence[T]) -> T:
        """Return one of the items. Raises IndexError if there are none."""
        return items[self.below(max(1, len(items)))]
