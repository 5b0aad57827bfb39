"""A lint for prose: `python -m tests.contract.plain_english [FILE ...]`.

It reads the docstrings and comments of Python, the comments of SQL and Lua, pages in Markdown, and
the names of tests. It prints each word and sentence form that makes a reader stop, with the fix.
Without arguments it reads every file of the repository. Prompts and migrations are left out, since
a released one is never edited. Text in backticks or quotation marks is left out as well.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
KINDS: Final = (".py", ".sql", ".lua", ".md")
IMMUTABLE: Final = re.compile(r"/migrations/0|^aifeature/features/.+\.md$")

OPENINGS: Final = {
    r"(?:^|[.;:!?]\s+|^[-*|]\s+)(?:What|Whose|Whom|Who)\b(?![^.;|]*\?)": "name the subject",
    r"(?:^|[.;:!?]\s+)How (?:many|much|long|often|far|fast|soon|late)\b(?![^.;|]*\?)": (
        "use a noun: the number of, the time until"
    ),
}
"""Question words at the beginning of a statement. The case of letters matters."""

WORDS: Final = {
    r"(?:who|what|which|when|how)ever\b(?<!\bhowever)": "name the subject",
    r"(?:of|for|to|by|from|with|at|on) whom\b": "name the subject",
    r"(?:for|to|of|by|from|with|at) who\b": "name the subject",
    r"(?:nobody|everybody|anybody|somebody|no one|anyone|everyone|someone)\b": (
        "name them: no user, each worker"
    ),
    r"(?:he|she|his|him|her)\b": "name the subject",
    r"(?:is|are|was|were) to be\b": "use must, or the active voice",
    r"(?:tells?|told|telling)\b": "use returns, reports, notifies or shows",
    r"(?:knows?|knew)\b": "use has, stores or reads",
    r"(?:asks?|asked|asking)\b": "use requests, calls, reads or checks",
    r"(?:hears?|heard)\b": "use receives",
    r"(?:says?|said|saying)\b": "use reports, states or returns",
    r"(?:speaks? (?:of|for)|spoke|spoken)\b": "use describes or uses",
    r"(?:goes|go|went|going) by\b": "use follows or uses",
    r"stands? (?:in|on|at|for|behind|before|beside)\b": "use is in, is stored in or means",
    r"(?:looks?|looked|looking) (?:at|for|again|whether|how|what|where|that)\b": (
        "use reads, checks or searches"
    ),
    r"at once\b": "use immediately, or at the same time",
    r"anew\b": "use again",
    r"mend(?:s|ed|ing)?\b": "use fix",
    r"(?:lest|thereof|therein|whereof|thereby|whence|hitherto)\b": "use a common word",
    r"(?:come|comes|came) of\b": "use results from",
    r"so (?:many|much) (?:and no more|of|[a-z]+s)\b(?! (?:that|as))": "state the number",
    r"audit trail\b": "the glossary's term is audit log",
}
"""Words, in small or capital letters. A space matches a line break too."""

ADVICE: Final = (*OPENINGS.values(), *WORDS.values())
PATTERN: Final = re.compile(
    "|".join(f"({rule})" for rule in OPENINGS)
    + r"|\b(?i:"
    + "|".join(f"({rule})" for rule in WORDS).replace(" ", r"\s+")
    + ")",
    re.MULTILINE,
)
"""One group for each rule, in the order of `ADVICE`."""

IN_NAMES: Final = re.compile(
    r"_(?:whoever|whatever|whom|nobody|everybody|anybody|somebody|tells?|told|knows?|asks?|asked"
    r"|hears?|heard|says?|said|speaks?|mended|anew)(?:_|$)|^test_(?:what|who|whose)_"
)
TEST: Final = re.compile(r"^\s*(?:async )?def (test_\w+)", re.MULTILINE)

CODE: Final = re.compile(r"```.*?```|`[^`\n]*`|\"[^\"\n]*\"|“[^”]*”|https?://\S+", re.DOTALL)
"""Names, quotations and examples are not prose of ours."""

TOKEN: Final = re.compile(
    r"(?P<comment>\#[^\n]*)"
    r'|(?P<text>"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*""")'
    r"|'''[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*'''"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'(?:[^'\\\n]|\\.)*'",
    re.DOTALL,
)
"""The comments and strings of Python. This is ten times as fast as the tokenizer."""


class Finding(NamedTuple):
    """One place."""

    file: str
    line: int
    text: str
    advice: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}: {self.advice}"


def findings(file: str, source: str) -> Iterator[Finding]:
    """Return what the rules find in one file."""
    for line, prose in _prose(file, source):
        plain = CODE.sub(lambda code: re.sub(r"\S", "x", code[0]), prose)
        for match in PATTERN.finditer(plain):
            phrase = match[0].lstrip(" .;:!?-*|\n")
            at = line + plain.count("\n", 0, match.end() - len(phrase))
            advice = ADVICE[(match.lastindex or 1) - 1]
            yield Finding(file, at, " ".join(phrase.split()), advice)
    if file.endswith(".py") and Path(file).name.startswith(("test_", "conftest")):
        for name in TEST.finditer(source):
            if odd := IN_NAMES.search(name[1]):
                line = source.count("\n", 0, name.start(1)) + 1
                yield Finding(file, line, name[1], f"rename the test without {odd[0]}")


def _prose(file: str, source: str) -> Iterator[tuple[int, str]]:
    """Return the line and text of each piece of prose; lines of one comment are one piece."""
    if file.endswith(".md"):
        yield 1, source
    elif file.endswith((".sql", ".lua")):
        yield from _joined(
            (number, line.partition("--")[2].strip())
            for number, line in enumerate(source.splitlines(), 1)
            if "--" in line
        )
    else:
        yield from _docstrings(source)
        yield from _joined(
            (source.count("\n", 0, token.start()) + 1, token[0].lstrip("# ").rstrip())
            for token in TOKEN.finditer(source)
            if token["comment"] and not token[0].startswith("# type:")
        )


def _docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Return each string that is a statement: a docstring, or the description of a constant."""
    for token in TOKEN.finditer(source):
        if token["text"]:
            before, _, same_line = source[: token.start()].rpartition("\n")
            within = before.rstrip().endswith(("(", "[", "{", ",", "="))
            if not same_line.strip(" r") and not within and source[token.end()] == "\n":
                text = "\n".join(line.strip() for line in token[0].strip('"').splitlines())
                yield source.count("\n", 0, token.start()) + 1, text


def _joined(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    first, text, last = 0, "", -1
    for number, line in lines:
        if number == last + 1 and text:
            text += "\n" + line
        else:
            if text:
                yield first, text
            first, text = number, line
        last = number
    if text:
        yield first, text


def files(names: Iterable[str] = ()) -> list[str]:
    """Return those of these files, or of the whole repository, that hold prose of ours."""
    listed = (
        names
        or subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
    )
    return [name for name in listed if name.endswith(KINDS) and not IMMUTABLE.search(name)]


def main(names: list[str]) -> int:
    """Print each finding. Return 1 if there is any."""
    found = [
        finding
        for name in files(names)
        for finding in findings(name, (ROOT / name).read_text(encoding="utf-8"))
    ]
    for finding in found:
        print(finding)  # noqa: T201
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
