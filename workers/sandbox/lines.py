"""What a single line of a document is: prose, or the markup, code and drawings around it."""

from __future__ import annotations

import re

FENCE = re.compile(r"^[ \t]{0,12}(```+|~~~+)")
HEADING = re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+(.+?)[ \t]*#*$")
UNDERLINE = re.compile(r"^[ \t]*(?:={3,}|-{3,})[ \t]*$")
ITEM = re.compile(r"^[ \t]*(?:[-*+•◦▪‣–][ \t]+|\(?\d{1,3}[.)][ \t]+)(?:\[[ xX]\][ \t]+)?")  # noqa: RUF001
TABLE_RULE = re.compile(r"^[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*(?:\|[ \t]*:?-{2,}:?[ \t]*)*\|?[ \t]*$")

_SPEAKER = re.compile(r"^[^\W\d_][\w .]{0,30}:[ \t]")
_WORD = re.compile(r"\w")
_BOXES = re.compile(r"[\u2500-\u259f]")
_RULED = re.compile(r"[-=+|_/\\<>^~*]{4,}|[+|][-=]{2,}")
_CODE = re.compile(
    r"""^\s*(?:
      @\w[\w.]*(?:\(.*\))?$                                   # a decorator
    | (?:async\s+)?(?:def|class|func|fn|function)\s+\w+.*[:{(]\s*$
    | (?:import\s+[\w.*{]+|from\s+[\w.]+\s+import\s.+|\#include\s.+|package\s+[\w.]+;?)$
    | (?:const|let|var|public|private|static)\s.+[;{=(]\s*$
    | (?:if|elif|for|while|with|except)\b.*[()\[\]=_.].*[:{]\s*$
    | (?:else|try|finally)\s*[:{]\s*$
    | (?:return|raise|yield)\s+[\w.]+\(.*$
    | [\w.\[\]"']+(?::\s*[\w\[\], |]+)?\s(?:[-+*/|]?=|:=)\s\S.*(?<![.!?])$ # an assignment
    | [A-Za-z_][\w.]*\([^)]*(?:\)[;,]?)?$                     # a call alone on its line
    | [\[{(]*\s*["'][\w .-]+["']\s*:\s.*[,\]}"'\[{(\w]$           # a member of an object
    | (?:\$\s[a-z]|>>>\s\S).*                                    # a prompt and a command
    | \s*\}.*$|.*\w\(.*\)\s?[;{]\s*$                           # a statement's or a block's end
    | [\[\](){},;:.]+$                                        # brackets alone
    )""",
    re.VERBOSE,
)
LONGEST_CODE = 400
"""A line longer than this is read as prose, whatever it looks like."""


def is_code(line: str) -> bool:
    """Whether a line outside any fence looks like source code."""
    return len(line) <= LONGEST_CODE and _CODE.match(line) is not None


def is_drawing(line: str) -> bool:
    """Whether a line is a rule, part of a box or an arrow diagram."""
    if len(line) > LONGEST_CODE:
        return False
    if _BOXES.search(line):
        return True
    ruled = sum(len(mark) for mark in _RULED.findall(line))
    return ruled * 3 > len("".join(line.split())) > 0


def is_wordless(line: str) -> bool:
    """Whether a line holds no letter and no digit."""
    return _WORD.search(line) is None


def is_heading(line: str) -> bool:
    """Whether a line that stands alone between blank ones reads like a title."""
    line = line.strip()
    if len(line) > 90 or _SPEAKER.match(line):  # noqa: PLR2004 - titles are short
        return False
    return not line.endswith((".", "!", "?", "…", ";", ",", "。", "！", "？", "؟", "।", "۔"))  # noqa: RUF001


def is_lead_in(line: str) -> bool:
    """Whether a line only announces what follows it."""
    return line.rstrip().endswith((":", "：")) and len(line) <= 160  # noqa: PLR2004, RUF001


def cells(line: str) -> list[str]:
    """The cells of a table row; fewer than two if the line is none."""
    line = line.strip()
    if line.startswith("|") or line.count(" | ") > 1:
        return [cell.strip() for cell in line.strip("|").split("|") if cell.strip()]
    if line.count("\t") > 1:
        return [cell.strip() for cell in line.split("\t") if cell.strip()]
    return []


def is_row(line: str) -> bool:
    """Whether a line is a row of a table, its header and rule included."""
    return line.lstrip().startswith("|") or len(cells(line)) > 1
