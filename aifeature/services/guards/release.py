"""Releases the text of a growing answer as far as its rules have passed it.

The rules need whole words, numbers and links. So the end of the text is held back as long as more
text could still change what a rule makes of it: usually the last two words, and more for numbers,
brackets and tags. All rules read text, never tokens of the model, with OVERLAP characters before
the new part.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Final

OVERLAP: Final = 200
"""Fewest characters before new text that the rules read again."""

FAILED: Final = "a rule failed"
"""Beginning of the reason of a stream that an exception stopped."""

MAX_HELD: Final = 200
"""Most characters that are held back. With more, the stream stops; the result has the rest."""

MAX_WINDOW: Final = 8 * OVERLAP
"""Most characters that the rules read at a time."""

STEP: Final = 16
"""Fewest new characters for which the rules run again: about three words."""

CHANGED: Final = "more text changes what was released"

Clean = Callable[[str], str]
Leaks = Callable[[str], bool]
Growing = Callable[[str], int]

_AFTER_NUMBER: Final = 30
"""Characters after a long number that can contain a word which gives the number a meaning."""

_LONG_NUMBER: Final = 5
"""Digits of a number that can be personal data with a word near it."""

_LONGEST_NUMBER: Final = 80
"""Most characters of a number with spaces, such as an account number."""

_AFTER_AT: Final = 4
"""Words after the word `at` that can belong to a spelled e-mail address."""

_BREAK: Final = r"\s。，、；：！？「」『』（）《》〈〉【】"  # noqa: RUF001
_WORD: Final = re.compile(rf"[^{_BREAK}]+")
_ENDS_WORD: Final = re.compile(rf"[{_BREAK}]")
_DIGIT: Final = re.compile(r"\d")
_OF_NUMBER: Final = re.compile(r"[^\w]+|\W*\w{1,2}\W*|\W*[A-Z]{1,4}\W*|.*\d.*")
_OF_ACCOUNT: Final = re.compile(r"\W*\w{1,4}\W*|.*\d.*")
_ACCOUNT: Final = re.compile(r"\W*[A-Za-z]{2}\d{2}")
_AT_OR_DOT: Final = re.compile(
    r"[(\[{<]?\W?(?:at|ät|arobase|arroba|chiocciola|malpa|małpa|zavináč|собака|@"
    r"|dot|punkt|point|punto|ponto|kropka|tečka|точка|\.)\W?[)\]}>]?|.*@|@.*|.*[)\]}>]@?[(\[{<].*",
    re.IGNORECASE,
)
_MARK: Final = re.compile(r"[\[\]]|<[A-Za-z/!?]|&(?:#|[A-Za-z])\S*|-----BEGIN")
_ADDRESS: Final = re.compile(r"<[^\s<>=\"']+[:@][^\s<>\"']+>")
_DEFINITION: Final = re.compile(r"[ \t]*\n?[ \t]*\S[^\n]*\n")


class Released:
    """The text of one growing answer, and the part of it that readers may see.

    All releases together are always the beginning of the cleaned whole text.

    >>> released = Released(clean=str.upper, leaks=lambda text: "canary" in text, step=1)
    >>> released.feed("one two three fo"), released.feed("ur "), released.end()
    ('ONE TWO ', '', 'THREE FOUR ')
    """

    def __init__(
        self,
        clean: Clean,
        leaks: Leaks,
        growing: Growing = len,
        *,
        preview: Clean | None = None,
        step: int = STEP,
    ) -> None:
        """Take the rules.

        Args:
            clean: Returns a text with everything replaced that readers must not see. It gives a
                value the same replacement each time.
            leaks: Returns whether a text contains what must never be shown.
            growing: Returns where the end of a text begins that may become such a leak.
            preview: The same as `clean` without a memory: it also gets text whose end is half a
                value. None: `clean` has no memory.
            step: Fewest new characters for which the rules run again.
        """
        self.stopped = ""
        """Why no more text is released before the result; empty while the stream runs."""

        self._clean, self._leaks, self._growing = clean, leaks, growing
        self._preview = preview or clean
        self._step = step
        self._unread = 0
        self._all: list[str] = []
        self._released: list[str] = []
        self._window = ""
        self._settled = 0  # characters of the window that are released
        self._cleaned = ""  # the cleaned text of these
        self._borders = [0]  # places in the window where a release ended

    def feed(self, piece: str) -> str:
        """Take the next piece of the answer and return the text that is now released."""
        if self.stopped:
            return ""
        self._all.append(piece)
        self._window += piece
        self._unread += len(piece)
        if self._unread < self._step:
            return ""
        self._unread = 0
        return self._stopping(self._next)

    def end(self) -> str:
        """Return the rest of the cleaned answer; empty if the stream stopped."""
        return "" if self.stopped else self._stopping(self._rest)

    def _stopping(self, release: Callable[[], str]) -> str:
        """Return the released text. A rule that fails stops the stream: the result has the text."""
        try:
            return release()
        except Exception as error:  # noqa: BLE001 (a rule of any kind may fail in any way)
            self.stopped = f"{FAILED}: {type(error).__name__}"
            return ""

    def _next(self) -> str:
        until, reason = self._until()
        new = self._release(until) if until > self._settled else ""
        if not self.stopped:
            if reason:
                self.stopped = reason
            elif len(self._window) - self._settled > MAX_HELD or len(self._window) > MAX_WINDOW:
                self.stopped = "more text is held back than allowed"
        return new

    def _rest(self) -> str:
        whole = "".join(self._all)
        if self._leaks(whole):
            self.stopped = "leak"
            return ""
        cleaned, released = self._clean(whole), "".join(self._released)
        if not cleaned.startswith(released):
            self.stopped = CHANGED
            return ""
        return cleaned[len(released) :]

    def _until(self) -> tuple[int, str]:
        """Return up to where the window can be released, and why the stream ends there."""
        pending = self._window[self._settled :]
        place, reason = _first_open(pending, self._clean)
        growing = self._growing(self._window) - self._settled
        until = max(0, min(place, _held_words(pending), growing))
        return self._settled + until, reason if until == place else ""

    def _release(self, until: int) -> str:
        if self._leaks(self._window):
            self.stopped = "leak"
            return ""
        cleaned = self._cleaned_until(until)
        if cleaned is None:
            return ""
        if not cleaned.startswith(self._cleaned):
            self.stopped = CHANGED
            return ""
        new = cleaned[len(self._cleaned) :]
        self._settled, self._cleaned = until, cleaned
        self._borders.append(until)
        self._released.append(new)
        if until > 2 * OVERLAP:
            self._move()
        return new

    def _cleaned_until(self, until: int) -> str | None:
        """Return the cleaned text up to a place in the window, in view of the text that follows.

        None if the text that follows changes it.
        """
        text = self._window
        settled = text[:until]
        preview = self._preview(text)
        if preview == text:
            return settled
        before = self._preview(settled)
        if not preview.startswith(before):
            return None
        return settled if before == settled else self._clean(settled)

    def _move(self) -> None:
        """Let the window begin later, at a place where a release ended."""
        start = max(border for border in self._borders if border <= self._settled - OVERLAP)
        kept = self._window
        self._window = kept[start:]
        cleaned = self._cleaned_until(self._settled - start)
        if cleaned is None:
            self._window = kept
            return
        self._cleaned = cleaned
        self._settled -= start
        self._borders = [border - start for border in self._borders if border >= start]


class _Words:
    """The words at the end of a text."""

    def __init__(self, text: str) -> None:
        offset = max(0, len(text) - 2 * MAX_HELD)
        found = list(_WORD.finditer(text, offset))
        self.texts = [each[0] for each in found]
        self.starts = [each.start() for each in found]
        self.ends = [each.end() for each in found]
        self.length = len(text)

    def __len__(self) -> int:
        return len(self.texts)

    def after(self, index: int) -> int:
        """Return the number of characters after a word."""
        return self.length - self.ends[index]

    def start_of_number(self, index: int) -> int:
        """Return the first word of the number that ends with a word or right before it."""
        least = self.starts[index] - _LONGEST_NUMBER
        while (
            index > 0
            and self.starts[index - 1] >= least
            and _OF_NUMBER.fullmatch(self.texts[index - 1])
        ):
            index -= 1
        return index


def _held_words(text: str) -> int:
    """Return where the last words begin that can still become a part of something else."""
    words = _Words(text)
    if not words:
        return len(text)
    # Short words before the end can be the beginning of a number: `AB 12 34 56 C`.
    first = words.start_of_number(max(0, len(words) - 2))
    return words.starts[min(first, _of_address(words), _of_number(words), _of_account(words))]


def _of_address(words: _Words) -> int:
    """Return the first word that can belong to a spelled e-mail address."""
    at = len(words)
    for index in range(len(words) - 1, -1, -1):
        if at - index > _AFTER_AT:
            break
        if _AT_OR_DOT.fullmatch(words.texts[index]):
            at = index
    return max(0, at - 1)


def _of_number(words: _Words) -> int:
    """Return the first word of the numbers to which the text after them can give a meaning."""
    first = index = len(words) - 1
    while index >= 0 and words.after(index) < _AFTER_NUMBER:
        start = index
        if _DIGIT.search(words.texts[index]):
            start = words.start_of_number(index)
            number = "".join(words.texts[start : index + 1])
            if len(_DIGIT.findall(number)) >= _LONG_NUMBER:
                first = start
        index = min(start, index - 1)
    return first


def _of_account(words: _Words) -> int:
    """Return the first word of an account number (IBAN) that can still grow."""
    for index in range(len(words) - 1, -1, -1):
        if words.length - words.starts[index] > _LONGEST_NUMBER:
            break
        if _ACCOUNT.match(words.texts[index]) and all(
            map(_OF_ACCOUNT.fullmatch, words.texts[index + 1 : -1])
        ):
            return index
    return len(words) - 1


def _first_open(text: str, clean: Clean) -> tuple[int, str]:
    """Return where the first construct begins that is not complete, or that ends the stream."""
    brackets: list[int] = []
    at = 0
    while found := _MARK.search(text, at):
        start, mark = found.start(), found[0]
        at = found.end()
        if mark == "[":
            brackets.append(start - (text[start - 1 : start] == "!"))
            continue
        if mark == "]":
            opening = [brackets.pop()] if brackets else []
            end = _end_of_link(text, at) if opening else at
            reason = ""
        else:
            opening = [_word_start(text, start)]
            end, reason = _end_of_markup(text, start, mark, clean)
        if end is None:
            return min([*opening, *brackets]), reason
        at = end
    return (brackets[0] if brackets else len(text)), ""


def _end_of_markup(text: str, start: int, mark: str, clean: Clean) -> tuple[int | None, str]:
    """Return where a tag or an entity ends; None if it is open, or if it ends the stream."""
    if mark == "-----BEGIN":
        return None, "a block of data"
    if mark[0] == "&":
        return (start + 1, "") if html.unescape(mark) == mark else (None, "an entity")
    end = text.find(">", start) + 1
    if not end:
        return None, ""
    tag = text[start:end]
    # A word in angle brackets is held back like any word. An element changes what follows it.
    is_inert = _ADDRESS.fullmatch(tag) or clean(tag) == tag
    return (end, "") if is_inert else (None, "markup")


def _word_start(text: str, at: int) -> int:
    while at > 0 and not _ENDS_WORD.match(text, at - 1):
        at -= 1
    return at


def _end_of_link(text: str, at: int) -> int | None:
    """Return where the link ends whose label ends before `at`; None if it is not complete."""
    follows = text[at : at + 1]
    if not follows:
        return None
    if follows == ":":
        definition = _DEFINITION.match(text, at + 1)
        return definition.end() if definition else None
    if follows != "(":
        return at
    depth = 0
    for index in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return index + 1
    return None
