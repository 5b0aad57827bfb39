"""Replaces the values that the detectors find, and numbers them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any, Final

from aifeature.guarding import TimeLimit
from aifeature.personal_data import (
    addresses,
    cards,
    credentials,
    emails,
    ibans,
    national_ids,
    numbers,
    phones,
)
from aifeature.personal_data.context import Context
from aifeature.personal_data.decoding import decoded
from aifeature.personal_data.kinds import Kind, Match
from aifeature.personal_data.views import PLACEHOLDER, View

_MOST_PASSES: Final = 8
"""A pass finds nothing new after two or three."""

_ID_FIRST: Final = frozenset({*range(14), 18})
"""Sizes of runs that are rather a national number than a card."""
_DETECTORS: Final = (
    (national_ids.find, cards.find, phones.find),
    (cards.find, national_ids.find, phones.find),
)
"""The detectors of a short and of a long run. The first that takes a whole run wins."""

_RANK: Final = {
    kind: rank
    for rank, kind in enumerate(
        (
            Kind.SECRET,
            Kind.EMAIL,
            Kind.IBAN,
            Kind.CARD,
            Kind.NATIONAL_ID,
            Kind.IP_ADDRESS,
            Kind.PHONE,
        )
    )
}
"""Which of two kinds keeps a place that both claim: the first."""


class Redactor:
    """Replaces personal data by placeholders such as `[EMAIL_1]`, with the numbers of one job.

    Numbering continues after the placeholders in `text_known`, so that a placeholder which a user
    typed never names another value. Values in `public` stay as they are: see `values`. A limit is
    checked between two pieces of the work.

    A placeholder may be longer than its value: a text grows by at most 8 characters for each value
    of fewer than 10 numbers, and by a digit more for each power of ten.
    """

    def __init__(
        self,
        text_known: Iterable[str] = (),
        *,
        public: AbstractSet[str] = frozenset(),
        limit: TimeLimit | None = None,
    ) -> None:
        self.public = frozenset(public)
        self.found: Counter[Kind] = Counter()
        """The number of replaced values of each kind. A repeated value counts again."""
        self._limit = limit
        self._placeholders: dict[tuple[Kind, str], str] = {}
        self._last: dict[str, int] = {}
        for text in (text_known,) if isinstance(text_known, str) else text_known:
            self.know(text)

    def know(self, text: str) -> None:
        """Continue the numbers after the placeholders in a text."""
        if "[" in text:
            for label, number in PLACEHOLDER.findall(text):
                self._last[label] = max(self._last.get(label, 0), int(number))

    def redact(self, text: str, *, name: str = "") -> str:
        """Return a text with placeholders in place of personal data.

        `name` is the name of the field that holds the text: digits are a phone number in `phone`.
        """
        self.know(text)
        for _ in range(_MOST_PASSES):
            redacted = self._pass(text, name)
            if redacted == text:
                break
            text = redacted
        return text

    def _pass(self, text: str, name: str) -> str:
        parts: list[str] = []
        end = 0
        for match in find(text, name=name, limit=self._limit):
            if match.value in self.public:
                continue
            parts += text[end : match.start], self._placeholder(match)
            end = match.end
        return "".join([*parts, text[end:]]) if parts else text

    def _placeholder(self, match: Match) -> str:
        key = match.kind, match.value
        self.found[match.kind] += 1
        if key not in self._placeholders:
            label = match.kind.label
            self._last[label] = self._last.get(label, 0) + 1
            self._placeholders[key] = f"[{label}_{self._last[label]}]"
        return self._placeholders[key]


def redact(text: str) -> str:
    """Return a text with placeholders in place of personal data.

    >>> redact("IBAN DE89 3704 0044 0532 0130 00")
    'IBAN [IBAN_1]'
    """
    return Redactor().redact(text)


def values(text: str) -> frozenset[str]:
    """Return the normalised values of a text, for the argument `public` of a Redactor.

    >>> values("Write to Support@Example.com")
    frozenset({'support@example.com'})
    """
    return frozenset(match.value for match in find(text))


def redact_json(value: Any, redactor: Redactor) -> Any:
    """Return a JSON value with each string and each name in it redacted. The value stays as it is.

    The second of two names that become equal gets a number behind it.
    """
    pending: list[tuple[Any, Any, str]] = []
    for text in _strings(value):
        redactor.know(text)

    def copy(item: Any, name: str) -> Any:
        if isinstance(item, str):
            return redactor.redact(item, name=name)
        if isinstance(item, dict | list | tuple):
            new: Any = {} if isinstance(item, dict) else []
            pending.append((item, new, name))
            return new
        return item

    result = copy(value, "")
    while pending:
        old, new, name = pending.pop()
        if isinstance(old, dict):
            for key, item in old.items():
                new[_unused(redactor.redact(key), new)] = copy(item, key)
        else:
            new.extend([copy(item, name) for item in old])
    return result


def _unused(name: str, names: dict[str, Any]) -> str:
    unused, number = name, 2
    while unused in names:
        unused, number = f"{name} {number}", number + 1
    return unused


def _strings(value: Any) -> Iterator[str]:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            pending.extend(item.keys())
            pending.extend(item.values())
        elif isinstance(item, list | tuple):
            pending.extend(item)


def find(text: str, *, name: str = "", limit: TimeLimit | None = None) -> list[Match]:
    """Return the personal data of a text, in order, without overlaps."""
    head = f"{name.replace('_', ' ').replace('-', ' ')}: " if name else ""
    text = head + text
    found = _found(View(text), len(head), limit)
    if form := decoded(text):
        cut = form.cut()  # a match that begins or ends inside of a code holds digits of the code
        found = [match for match in found if match.start not in cut and match.end not in cut]
        found += _found(View(text, form), len(head), limit)
    taken = bytearray(len(text))
    kept = []
    for match in sorted(found, key=_importance):
        if match.start < len(head) or taken.find(1, match.start, match.end) >= 0:
            continue
        taken[match.start : match.end] = b"\1" * (match.end - match.start)
        kept.append(match._replace(start=match.start - len(head), end=match.end - len(head)))
    kept.sort()
    return kept


def _found(view: View, head: int, limit: TimeLimit | None) -> list[Match]:
    """Return what the detectors find in a view, at its places in the text."""
    found = []
    for match in _candidates(view, head, limit):
        start, end = view.original(match.start, match.end)
        found.append(match._replace(start=start, end=end))
    return found


def _importance(match: Match) -> tuple[int, int, int]:
    return _RANK[match.kind], match.start - match.end, match.start


def _candidates(view: View, head: int, limit: TimeLimit | None) -> Iterator[Match]:
    check = limit.check if limit else _nothing
    certain = [
        match
        for detector in (emails.find, credentials.find)
        for match in _checked(detector(view), check)
    ]
    if any(digit in view.text for digit in "0123456789"):
        certain += _checked(addresses.find(view), check)
        certain += _checked(ibans.find(view), check)
        yield from _numbers(view, certain, Context(view, head), check)
    yield from certain


def _numbers(
    view: View, certain: list[Match], context: Context, check: Callable[[], None]
) -> Iterator[Match]:
    """Yield the numbers outside of the matches that are certain."""
    text = numbers.without_look_alikes(view, certain)
    check()
    yield from _checked(national_ids.find_with_letters(text, context), check)
    found: set[int] = set()
    for run in numbers.runs(text):
        if run.end - run.start < numbers.SHORTEST:
            continue
        check()
        whole = False
        for detector in _DETECTORS[_may_be_a_card_first(run)]:
            for match in detector(run, context):
                whole |= (match.start, match.end) == (run.start, run.end)
                found.add(match.start)
                yield match
            if whole:
                break
    for run in numbers.split_runs(text):
        check()
        yield from cards.find_split(run, context)
        if phone := phones.find_split(run, context, found):
            yield phone


def _may_be_a_card_first(run: numbers.Run) -> bool:
    return run.end - run.start not in _ID_FIRST


def _nothing() -> None:
    """Check nothing."""


def _checked(matches: Iterable[Match], check: Callable[[], None]) -> Iterator[Match]:
    check()
    for match in matches:
        yield match
        check()
