"""Turns numbers that Hypothesis has drawn into choices among what there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Dice:
    """A few numbers, used one after the other and then again from the first.

    Which of two waiting calls gets a lock first is not ours to say. So what Hypothesis draws must
    not depend on the state: the same draws with another outcome would count as a flaky test.
    """

    numbers: tuple[int, ...]
    used: int = field(default=0, repr=False)

    def below(self, limit: int) -> int:
        """A number from 0 up to, and without, the limit."""
        number = self.numbers[self.used % len(self.numbers)]
        self.used += 1
        return number % limit

    def one_of(self, items: Sequence[T]) -> T:
        """One of the items.

        Raises:
            IndexError: there are none.
        """
        return items[self.below(max(1, len(items)))]
