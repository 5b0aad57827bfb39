"""Measure of the scan of inputs on labelled hostile, odd and harmless texts."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Final

from aifeature.guarding import Guard
from aifeature.services.guards import hidden, injection
from evals.guards.figures import Row

HALVES: Final = ("development", "held_out")
"""Words and points are tuned on the first. The second has other words and is only measured."""

SURVIVES: Final = frozenset(
    {
        "one_character",
        "unknown_language",
        "mixed_scripts",
        "huge",
        "binary_junk",
        "nested_json",
        "markdown_bomb",
    }
)
"""Classes of odd inputs. The scan must end on each, and need not find anything."""

CONTAINED: Final = "plain_task_indirect"
"""Tasks without a word of an attack. Fence and marks contain them, the scan does not find them."""

_REPEATS: Final = 20


@dataclass(frozen=True, slots=True)
class Labelled:
    """A labelled input."""

    id: str
    kind: str
    half: str
    hostile: bool
    language: str
    text: str


@cache
def labelled() -> tuple[Labelled, ...]:
    """Return all labelled inputs."""
    source = Path(__file__).with_name("inputs.jsonl").read_text(encoding="utf-8")
    return tuple(_labelled(json.loads(line)) for line in source.splitlines())


def _labelled(row: dict[str, object]) -> Labelled:
    text, repeat = str(row["text"]), int(str(row.get("repeat", 1)))
    match row.get("generator"):
        case "repeat":
            text *= repeat
        case "nested":
            text = text * repeat + "1" + ("}" if "{" in text else "]") * repeat
        case "bytes":
            text = random.Random(repeat).randbytes(repeat).decode("latin-1")  # noqa: S311
    return Labelled(
        id=str(row["id"]),
        kind=str(row["class"]),
        half=str(row["half"]),
        hostile=bool(row["hostile"]),
        language=str(row["language"]),
        text=text,
    )


def is_found(case: Labelled) -> bool:
    """Return whether the scan finds what the class of the input is about."""
    found = injection.scan(case.text)
    if case.kind == "foul_language":
        return any(finding.guard == Guard.FOUL_LANGUAGE for finding in found)
    if case.hostile:
        return any(finding.guard == Guard.INJECTION for finding in found)
    return bool(found)


def rows() -> list[Row]:
    """Return recall and false alarms by class and half, and false alarms of each half."""
    return [row for half in HALVES for row in _of_half(half)]


def _of_half(half: str) -> Iterator[Row]:
    cases = [case for case in labelled() if case.half == half]
    results: dict[tuple[bool, str], list[bool]] = {}
    for case in cases:
        results.setdefault((case.hostile, case.kind), []).append(
            is_found(case) or case.kind in SURVIVES
        )
    for (hostile, kind), found in results.items():
        figure = "survived" if kind in SURVIVES else "recall" if hostile else "false alarms"
        yield Row(f"{half}: {kind}", figure, sum(found), len(found))
    harmless = [alarm for (hostile, _), found in results.items() if not hostile for alarm in found]
    yield Row(f"{half}: all harmless", "false alarms", sum(harmless), len(harmless))


def milliseconds() -> float:
    """Return the CPU time of cleaning and scanning 2 kB of harmless text, in milliseconds.

    It is the median over the texts, of the least time of each.
    """
    text = "\n\n".join(case.text for case in labelled() if not case.hostile)
    parts = [text[start : start + 2_000] for start in range(0, len(text) - 2_000, 2_000)]
    return median(_least(part) for part in parts) * 1_000


def _least(part: str) -> float:
    times = []
    for _ in range(_REPEATS):
        begin = time.thread_time()
        injection.scan(hidden.clean(part)[0])
        times.append(time.thread_time() - begin)
    return min(times)
