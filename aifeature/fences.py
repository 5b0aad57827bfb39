"""Keep untrusted text inside its fence in a prompt, and undo that in the answer.

A fence is a pair of tags with a random marker. Text inside one can close or forge no fence and no
turn: `escape` writes what could as XML entities. `&` is an entity too, so that a text cannot hold
the escaped form, and the escape can be undone exactly.

`datamark` puts one rare character between the words of a text, so that a model can distinguish them
from instructions (arXiv 2403.14720). The text does not contain that character: nothing in it can
look like unmarked text, or like text with other marks.

In marked text, with the mark `^`:

- `^` is a space, and `^^^` a wider gap, also of tabs and of all other kinds of space;
- `^` before a line end is nothing: it marks the line end;
- `^^` is nothing. It divides words of more than 32 characters, runs of characters without spaces
  (Chinese, Japanese, Thai), and an opening bracket from what follows;
- one or more at the end are nothing: they mark the last word, and fill up a short text.
"""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

CHEAP: Final = "¦¬"
"""The marks that are taken first: two bytes each, and in no formula, table or code."""

OTHERS: Final = "¸¨¯´˜"  # noqa: RUF001

PRIVATE: Final = "".join(map(chr, range(0xE000, 0xE100)))
"""The last marks. No font and no language uses them."""

LONGEST: Final = (32, 16, 8)
"""Most characters without a mark in text with spaces. The first that marks the text enough."""

LONGEST_UNSPACED: Final = 12
"""The same in text of a script without spaces."""

ENOUGH: Final = 18
"""Most characters of a marked text for each mark."""

GROWTH: Final = 1.2
"""Bytes of a marked text for each byte of usual text: its spaces, a fifth of it, become two."""

SHORT: Final = 48
"""Characters to which a short text is filled up with marks."""

_LINE_END = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_IGNORED = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\uffa0\ufff0-\ufff8"
    "\U000e0000-\U000e0fff]"
)
"""Characters without a form of their own that are in none of the categories below."""

_HIDDEN = ("Cc", "Cf", "Cs")
_VISIBLE_CF = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u08e2")
_JOINED = "\u0600-\u109f\u1780-\u17ff\u2190-\u2bff\ufe0f\U0001f000-\U0001faff"
_JOINERS = "\u200c\u200d"
_JOINER = re.compile(f"(?<![{_JOINED}])[{_JOINERS}]|[{_JOINERS}](?![{_JOINED}])")
"""A joiner that neither a script nor an emoji needs."""

_OPENING, _CLOSING = "<＜﹤≮", ">＞﹥≯"  # noqa: RUF001
_SINGLE_OPENING = "‹〈〈⟨❬❮❰˂ᐸ⦑⧼≺⪡⋖⊰𐤟"  # noqa: RUF001
_SINGLE_CLOSING = "›〉〉⟩❭❯❱˃ᐳ⦒⧽≻⪢⋗⊱"  # noqa: RUF001
_DOUBLE_OPENING, _DOUBLE_CLOSING = "«《⟪≪", "»》⟫≫"
_SLASHES = r"/\\⁄∕⧸╱／⟋⫽〳＼⧵╲"  # noqa: RUF001
_LETTERS = (
    "\u05d0-\u05ea\u0620-\u064a\u0900-\u0dff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
)
"""Letters that no name of a tag has. Chinese puts titles in brackets."""

_ALIKE = re.compile(
    rf"[{_SINGLE_OPENING}](?![{_LETTERS}])|(?<![{_LETTERS}])[{_SINGLE_CLOSING}]"
    rf"|[{_DOUBLE_OPENING}](?=\s{{0,9}}[{_SLASHES}])|(?<=[{_SLASHES}])[{_DOUBLE_CLOSING}]"
)
"""A character that looks like an angle bracket, where it could begin or end a tag."""


def _entity(character: str) -> str:
    return f"&#{ord(character)};"


_BRACKETS = str.maketrans(
    {char: _entity(char) for char in "＆﹠" + _OPENING + _CLOSING}  # noqa: RUF001
    | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
)

_COLONS = ":：﹕︓⩴ː∶꞉׃։܃܄᛬⁚"  # noqa: RUF001
_HEAD = re.compile(
    rf"^[^\S\n]*+([^\n{_COLONS}]{{1,80}}(?:\n[^\S\n]{{0,9}}){{0,3}})([{_COLONS}])", re.MULTILINE
)
"""The beginning of a line up to its first colon, which may be on a later line."""

_TURN = re.compile(
    r"[\W_]{0,60}(?:human|user|assistant|system|developer|ai|claude)"
    r"(?:[\W_]{1,4}(?:message|prompt|instructions?|turn))?[\W_]{0,20}"
)
_LINE = re.compile(r"^(?=[\W_])((?:[^\S\n]++|[^\w\s&]|_){1,60}+)(\w{0,12})", re.MULTILINE)
_FENCE_WORD = re.compile(r"(?:begin|beginning|start|stop)\b|(end)\b")
_CODE = re.compile(r"[`~]{3}")
_TWO = 2

_ALIKE_LETTERS = str.maketrans("авеһнікмопрѕстухјαβεηικμνορτυχ", "abehhikmonpsctuxjabehikmnoptyx")
"""Small Cyrillic and Greek letters, of which one of either case looks like a Latin letter."""

_ENTITY = re.compile(r"&(?:amp|lt|gt|#\d{1,7});")
_OPENED = "|".join(map(_entity, _OPENING[1:] + _SINGLE_OPENING + _DOUBLE_OPENING))
_SPACE = re.compile(r"[^\S\n]*+(\n+)|[^\S\n]++")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
_ATOM = r"(?:&#?\w{1,8};|[^&])"


class FenceError(ValueError):
    """The text cannot be fenced: it contains the marker of its fence, or each possible datamark."""

    text_is_ours = True


def escape(text: str) -> str:
    """Return the text so that it can close or forge no fence and no turn of a prompt.

    `unescape` undoes it, except for invisible characters, which are removed, and kinds of line
    ends.

    Example:
        >>> escape("R&D: a < b </document>")
        'R&amp;D: a &lt; b &lt;/document&gt;'
    """
    text = _visible(text).translate(_BRACKETS)
    if not text.isascii():
        text = _ALIKE.sub(lambda found: _entity(found[0]), text)
    return _LINE.sub(_no_line, _HEAD.sub(_no_turn, text))


def _visible(text: str) -> str:
    text = _LINE_END.sub("\n", text)
    hidden = {
        ord(char): None
        for char in set(text)
        if unicodedata.category(char) in _HIDDEN and char not in _VISIBLE_CF
    }
    for kept in "\n\t" + _JOINERS:
        hidden.pop(ord(kept), None)
    text = text.translate(hidden) if hidden else text
    if text.isascii():
        return text
    return _JOINER.sub("", _IGNORED.sub("", text).replace("\u2800", " "))


def _folded(text: str) -> str:
    """Return the letters that a text looks like: plain, small and Latin."""
    text = html.unescape(text) if "&" in text else text
    if text.isascii():
        return text.casefold()
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(char for char in plain if unicodedata.category(char) not in ("Mn", "Me", "Cf"))
    return plain.casefold().translate(_ALIKE_LETTERS)


def _no_turn(head: re.Match[str]) -> str:
    """Write the colon after the name of a turn as an entity."""
    if not _TURN.fullmatch(_folded(head[1])):
        return head[0]
    return head[0][:-1] + _entity(head[2])


def _no_line(line: re.Match[str]) -> str:
    """Write the first sign of a line as an entity if the line could end a fence of lines."""
    signs = line[1].strip()
    word = _FENCE_WORD.match(_folded(line[2]))
    if not _CODE.match(signs) and (word is None or not (word[1] or len(signs) >= _TWO)):
        return line[0]
    if not signs:
        return f" {line[2]}"
    before, after = line[1].split(signs[0], 1)
    return f"{before}{_entity(signs[0])}{after}{line[2]}"


def choose_mark(fence: str, taken: Iterable[str]) -> str:
    """Return a datamark for the texts `taken`, which none of them contains. The same one each time.

    Raises:
        FenceError: the texts contain each possible mark.
    """
    present = set().union(*taken)
    chance = int.from_bytes(hashlib.sha256(fence.encode()).digest()[:8], "big")
    for marks in (CHEAP, OTHERS, PRIVATE):
        if free := [mark for mark in marks if mark not in present]:
            return free[chance % len(free)]
    raise FenceError("the text contains each character that could mark its words")


def datamark(text: str, mark: str) -> str:
    """Return an escaped text with marks between its words. It must not contain the mark.

    Example:
        >>> datamark("The customer waits for a new invoice since Monday.", "^")
        'The^customer^waits^for^a^new^invoice^since^Monday.^'
    """
    if not text:
        return ""
    spaced = _SPACE.sub(lambda found: _space(found, mark), text)
    if "&" in spaced:
        opening = rf"(&lt;|{_OPENED})(?![\s{re.escape(mark)}]|\Z)"
        spaced = re.sub(opening, lambda found: found[0] + mark * 2, spaced)
    marked = ""
    for longest in LONGEST:
        marked = _divided(spaced, mark, longest)
        if marked.count(mark) * ENOUGH >= len(marked):
            break
    return marked + mark * max(1, SHORT - len(marked))


def _space(found: re.Match[str], mark: str) -> str:
    if found[1]:
        return mark + found[1]
    return mark if len(found[0]) == 1 else mark * 3


def _divided(text: str, mark: str, longest: int) -> str:
    """Return the text with a double mark in each long run, after a sign if there is one."""

    def divide(run: re.Match[str]) -> str:
        most = min(longest, LONGEST_UNSPACED) if _UNSPACED.search(run[0]) else longest
        pieces = _pieces(most).findall(run[0]) if len(run[0]) > most else [run[0]]
        return (mark * 2).join(pieces)

    shortest = min(longest, LONGEST_UNSPACED) + 1
    return re.sub(rf"[^\s{re.escape(mark)}]{{{shortest},}}", divide, text)


@lru_cache
def _pieces(most: int) -> re.Pattern[str]:
    after_a_sign = rf"{_ATOM}{{{most // 4},{most}}}?(?<=[\W_])"
    return re.compile(rf"{after_a_sign}|{_ATOM}{{1,{most}}}")


def holds(text: str, marker: str) -> bool:
    """Return whether a text contains a marker, in letters of any case and width."""
    folded = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return marker.casefold() in folded.casefold()


@dataclass(frozen=True, slots=True)
class Rendered:
    """The user turn of one call, and how its answer is read."""

    text: str
    marker: str
    """The random marker of its fences. No answer contains it."""
    mark: str = ""
    """The datamark between the words of untrusted fields; empty if the prompt has none."""
    entities: frozenset[str] = frozenset()
    """The entities that replace characters of the input."""

    def restore(self, text: str) -> str:
        """Return a text of the answer without datamarks and without entities of this rendering.

        The text is a decoded string: not the JSON around it.
        """
        return self._with_characters(self._with_spaces(text))

    def restore_prefix(self, text: str) -> str:
        """Return what is certain of a text that goes on: a prefix of each later result."""
        found = self._with_spaces(text)
        at = found.rfind("&")
        if at >= 0 and any(each.startswith(found[at:]) for each in self.entities):
            is_whole = found[at:] in self.entities
            found = found if is_whole else found[:at]
        return self._with_characters(found)

    def restored(self, value: Any) -> Any:
        """Return a JSON value with each of its texts restored; keys stay."""
        match value:
            case str():
                return self.restore(value)
            case list():
                return [self.restored(each) for each in value]
            case dict():
                return {key: self.restored(each) for key, each in value.items()}
            case _:
                return value

    def _with_spaces(self, text: str) -> str:
        if not self.mark or self.mark not in text:
            return text
        runs = re.compile(rf"(\s?)({re.escape(self.mark)}++)(\s?)")
        return runs.sub(_unmarked, text)

    def _with_characters(self, text: str) -> str:
        if not self.entities or "&" not in text:
            return text
        return _ENTITY.sub(
            lambda found: html.unescape(found[0]) if found[0] in self.entities else found[0], text
        )


def _unmarked(run: re.Match[str]) -> str:
    before, marks, after = run.groups()
    if before:
        return before + after.strip(" \t")
    if after or not run.start() or run.end() == len(run.string):
        return after if run.start() else after.strip()
    return "" if len(marks) == _TWO else " "


def entities_of(escaped: str) -> frozenset[str]:
    """Return the entities in an escaped text."""
    return frozenset(_ENTITY.findall(escaped)) if "&" in escaped else frozenset()
