"""The sentences of an alert about a number: the object, the cause, the next step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

from aifeature.policies.numbers import SLOW_SHARE, Six
from aifeature.services.alarms.changes import Change
from aifeature.services.numbers.six import Number

_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400


def sentence(slug: str, number: Number) -> str:
    """Return value, sample, window and threshold: `summarize: 4.1 % of the requests ...`."""
    return f"{slug}: {_FOUND[Six(number.name)](number)} The threshold is {limit(number)}."


def value(number: float | None, unit: str) -> str:
    """Return a value with its unit, such as `4.1 %` or `12 s`."""
    if number is None:
        return "unknown"
    if unit == "ratio":
        return f"{number:.1f} times"
    shown = 100 * number if unit == "share" else number
    return f"{shown:.1f}".removesuffix(".0") + _UNITS.get(unit, "")


def limit(number: Number) -> str:
    return value(number.threshold, number.unit)


def window(seconds: float) -> str:
    """Return `hour`, `6 hours`, `day` or `7 days`."""
    for size, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= size:
            count = round(seconds / size)
            return name if count == 1 else f"{count} {name}s"
    return f"{seconds:.0f} seconds"


def span(seconds: float) -> str:
    """Return a time in its largest unit: `12 minutes`, `1 hour`."""
    text = window(max(0.0, seconds))
    return f"1 {text}" if text[0].isalpha() else text


def before(found: Sequence[Change], at: datetime, looked_s: float) -> str:
    """Return a sentence about the newest change before this moment."""
    if not found:
        return f"Nothing was changed in the {window(looked_s)} before."
    newest = found[-1]
    text = newest.text[:1].lower() + newest.text[1:]
    return f"Last change: {text}, {span((at - newest.at).total_seconds())} before."


def _errors(number: Number) -> str:
    what = f"of the requests of the last {window(number.window_s)} failed"
    return _of_share(number, what, "one in 100 million")


def _thumbs_down(number: Number) -> str:
    of = f" of prompt {number.version}" if number.version else ""
    what = f"of the rated answers{of} of the last {window(number.window_s)} got a thumbs down"
    return _of_share(number, what, "one in 100")


def _hallucinations(number: Number) -> str:
    shown = value(number.value, "share")
    return f"{shown} of the answers that were audited last are hallucinated ({_counts(number)})."


def _latency(number: Number) -> str:
    return (
        f"the slowest {value(SLOW_SHARE, 'share')} of the {number.sample} answers of the last"
        f" {window(number.window_s)} took {value(number.value, 's')} or longer."
    )


def _cost(number: Number) -> str:
    return (
        f"a user cost {value(number.value, 'ratio')} the usual in the last 24 hours"
        f" ({number.sample} users)."
    )


def _evals(number: Number) -> str:
    return f"the pass rate of the weekly run dropped by {value(number.value, 'points')}."


def _of_share(number: Number, what: str, chance: str) -> str:
    """Return the share, and the bound of the rule that made it red."""
    sure = (
        f", at least {value(number.bound, 'share')} but for a chance of {chance}"
        if number.bound is not None
        else ""
    )
    return f"{value(number.value, 'share')} {what} ({_counts(number)}{sure})."


def _counts(number: Number) -> str:
    return f"{_count(number)} of {number.sample}"


def _count(number: Number) -> int:
    return round((number.value or 0) * number.sample)


_UNITS: Final[Mapping[str, str]] = MappingProxyType({"share": " %", "s": " s", "points": " points"})

_FOUND: Final[Mapping[Six, Callable[[Number], str]]] = MappingProxyType(
    {
        Six.ERRORS: _errors,
        Six.LATENCY: _latency,
        Six.COST: _cost,
        Six.THUMBS_DOWN: _thumbs_down,
        Six.EVALS: _evals,
        Six.HALLUCINATIONS: _hallucinations,
    }
)
