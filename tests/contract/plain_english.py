"""A lint for prose: `python -m tests.contract.plain_english [FILE ...]`.

It reads the docstrings and comments of Python, the comments of SQL and Lua, pages in Markdown, and
the names of tests. It reports words and sentence forms that make a reader stop.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]

RULES: Final = {
    # A question word at the beginning of a statement.
    r"(?:^|[.;:!?]\s+|^[-*|]\s+)(?:What|Whose|Whom|Who)\b(?![^.;|]*\?)": "name the subject",
    r"(?:^|[.;:!?]\s+)How (?:many|much|long|often|far|fast|soon|late)\b(?![^.;|]*\?)": (
        "use a noun: the number of, the time until"
    ),
    r"\b(?:who|what|which|when|how)ever\b(?<!\bhowever)": "name the subject",
    r"\b(?:of|for|to|by|from|with|at|on) whom\b": "name the subject",
    r"\b(?:for|to|of|by|from|with|at) who\b": "name the subject",
    r"\b(?:nobody|everybody|anybody|somebody|no one|anyone|everyone|someone)\b": (
        "name them: no user, each worker"
    ),
    r"\b(?:he|she|his|him|her)\b": "name the subject",
    r"\b(?:is|are|was|were) to be\b": "use must, or the active voice",
    r"\b(?:tells?|told|telling)\b": "use returns, reports, notifies or shows",
    r"\b(?:knows?|knew)\b": "use has, stores or reads",
    r"\b(?:asks?|asked|asking)\b": "use requests, calls, reads or checks",
    r"\b(?:hears?|heard)\b": "use receives",
    r"\b(?:says?|said|saying)\b": "use reports, states or returns",
    r"\b(?:speaks? (?:of|for)|spoke|spoken)\b": "use describes or uses",
    r"\b(?:goes|go|went|going) by\b": "use follows or uses",
    r"\bstands? (?:in|on|at|for|behind|before|beside)\b": "use is in, is stored in or means",
    r"\b(?:looks?|looked|looking) (?:at|for|again|whether|how|what|where|that)\b": (
        "use reads, checks or searches"
    ),
    r"\bat once\b": "use immediately, or at the same time",
    r"\banew\b": "use again",
    r"\bmend(?:s|ed|ing)?\b": "use fix",
    r"\b(?:lest|thereof|therein|whereof|thereby|whence|hitherto)\b": "use a common word",
    r"\b(?:come|comes|came) of\b": "use results from",
    r"\bso (?:many|much) (?:and no more|of|[a-z]+s)\b(?! (?:that|as))": "state the number",
    r"\baudit trail\b": "the glossary's term is audit log",
}
"""By expression, the advice."""

PATTERNS: Final = [(re.compile(rule, re.MULTILINE), advice) for rule, advice in RULES.items()]

IN_NAMES: Final = re.compile(
    r"_(?:whoever|whatever|whom|nobody|everybody|anybody|somebody|tells?|told|knows?|asks?|asked"
    r"|hears?|heard|says?|said|speaks?|mended|anew)(?:_|$)|^test_(?:what|who|whose)_"
)

CODE: Final = re.compile(r"```.*?```|`[^`\n]*`|\"[^\"\n]*\"|“[^”]*”|https?://\S+", re.DOTALL)
"""Names, quotations and examples are not prose of ours."""


class Finding(NamedTuple):
    """One place."""

    file: str
    line: int
    text: str
    advice: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text!r}: {self.advice}"


def findings(file: str, source: str) -> Iterator[Finding]:
    """Return what the rules find in one file."""
    for line, prose in _prose(file, source):
        plain = CODE.sub(lambda code: re.sub(r"\S", "x", code[0]), prose)
        for pattern, advice in PATTERNS:
            for match in pattern.finditer(plain):
                at = line + plain.count("\n", 0, match.start())
                yield Finding(file, at, match[0].strip(" .;:!?-*|\n"), advice)
    if file.endswith(".py") and Path(file).name.startswith(("test_", "conftest")):
        for number, text in enumerate(source.splitlines(), 1):
            name = re.match(r"\s*(?:async )?def (test_\w+)", text)
            if name and (odd := IN_NAMES.search(name[1])):
                yield Finding(file, number, name[1], f"rename the test without {odd[0]!r}")


def _prose(file: str, source: str) -> Iterator[tuple[int, str]]:
    """Return the line and text of each piece of prose; lines of one comment are one piece."""
    if file.endswith(".md"):
        yield 1, source
        return
    if file.endswith((".sql", ".lua")):
        yield from _joined(
            (number, line.partition("--")[2].strip())
            for number, line in enumerate(source.splitlines(), 1)
            if "--" in line
        )
        return
    for node in ast.walk(ast.parse(source)):
        # A bare string is a docstring, or the description of the constant or field before it.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            text = node.value.value
            if isinstance(text, str):
                yield node.lineno, "\n".join(line.strip() for line in text.splitlines())
    yield from _joined(
        (token.start[0], token.string.lstrip("# ").strip())
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and not token.string.startswith("# type:")
    )


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


def files() -> list[str]:
    """Return the files of the repository that hold prose."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.sql", "*.lua", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return [
        name
        for name in listed
        if "/migrations/0" not in name and name != "tests/contract/plain_english.py"
    ]


def main(names: list[str]) -> int:
    """Print each finding. Return 1 if there is any."""
    count = 0
    for name in names or files():
        for finding in findings(name, (ROOT / name).read_text(encoding="utf-8")):
            print(finding)  # noqa: T201
            count += 1
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
