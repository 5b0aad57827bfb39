"""The progress of runs on standard error: one line on a terminal, else a line for each tenth."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Final

from evals.harness import costs
from evals.harness.drive import Progress

WIDTH: Final = 30


class Bar:
    """A progress bar of several runs that are driven side by side."""

    def __init__(self, names: Sequence[str]) -> None:
        self._runs: dict[str, Progress | None] = dict.fromkeys(names)
        self._began = time.monotonic()
        self._shown = -1

    def set(self, name: str, progress: Progress) -> None:
        self._runs[name] = progress

    def show(self) -> None:
        """Print the progress, if it is new."""
        known = [progress for progress in self._runs.values() if progress]
        total = max(1, sum(progress.total for progress in known))
        done = sum(progress.done for progress in known)
        if not sys.stderr.isatty():
            if 10 * done // total == self._shown:
                return
            self._shown = 10 * done // total
        text = self._line(done, total, known)
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}")
        else:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def _line(self, done: int, total: int, known: Sequence[Progress]) -> str:
        filled = WIDTH * done // total
        took = time.monotonic() - self._began
        left = f", {took / done * (total - done):.0f} s left" if done else ""
        unscored = sum(progress.unscored for progress in known)
        odd = f", {unscored} unscored" if unscored else ""
        spent = costs.dollars(sum(progress.spent_micro for progress in known))
        return (
            f"{self._names()} [{'#' * filled}{'.' * (WIDTH - filled)}] {done}/{total}{odd},"
            f" {spent}{left}"
        )

    def _names(self) -> str:
        if len(self._runs) == 1:
            return next(iter(self._runs))
        return ", ".join(
            f"{name} {100 * progress.done // max(1, progress.total)} %"
            for name, progress in self._runs.items()
            if progress
        )

    def end(self) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\n")
