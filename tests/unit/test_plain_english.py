"""The lint for prose finds each banned form, and lets plain sentences pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract import plain_english
from tests.contract.plain_english import ADVICE, findings

BANNED = """
What a call costs.|Who pays for it.|Whose bill it is.|Whom it serves.|- What it does.
How long it waits.|How many there are.|How much it takes.|How soon it comes.|How late it is.
How often it runs.|How far it gets.|How fast it is.|Why? How long it waits.
whoever comes|Whatever it is|whichever is free|whenever it runs
of whom|for whom|to whom|by whom|from whom|with whom|at whom|on whom
for who|to who|of who|by who|from who|with who|at who
nobody|Everybody|anybody|somebody|no one|anyone|everyone|someone
he|she|his|him|her
is to be|are to be|was to be|were to be
tell|tells|told|telling|know|Knows|knew|ask|asks|asked|asking|hear|hears|heard
say|says|said|saying|speak of|speaks for|spoke|spoken
goes by|go by|went by|going by
stand in|stands on|stands at|stands for|stand behind|stands before|stands beside
look at|looks for|looked again|looking whether|look how|look what|look where|look that
at once|anew|mend|mends|mended|mending
lest|thereof|therein|whereof|thereby|whence|hitherto
come of|comes of|came of
so many of|so much and no more|so many jobs|audit trail
"""
PHRASES = [phrase for line in BANNED.splitlines() if line for phrase in line.split("|")]

PLAIN = [
    "What does a call cost?",
    "Who pays? How long does it wait?",
    "However, the caller waits.",
    "So many jobs that the queue is full.",
    'The field `said` and the label “Nobody” are names. So is "Who comes".',
    "See https://example.org/ask or:\n```\nwhoever asks\n```",
    "Return the spend caps for one call. The user must retry.",
]

NAMES = """
whoever_pays|a_user_whatever_the_rate|a_call_of_whom|a_call_nobody_made|a_job_everybody_sees
a_job_anybody_sees|a_job_somebody_sees|it_tells|it_tell|it_told|it_knows|it_know|it_asks|it_ask
it_asked|it_hears|it_hear|it_heard|it_says|it_say|it_said|it_speaks|it_speak|it_is_mended|it_is_anew
what_is_left|who_is_left|whose_is_left
"""


def found(source: str, file: str = "page.md") -> list[tuple[int, str]]:
    return [(each.line, each.text) for each in findings(file, source)]


@pytest.mark.parametrize("phrase", PHRASES)
def test_banned_phrase_is_found(phrase: str) -> None:
    sentence = phrase if phrase[-1] == "." else f"The job {phrase} it."
    (finding,) = findings("page.md", f"# Title\n\n{sentence}\n")
    assert finding.line == 3
    assert finding.text in sentence
    assert str(finding) == f"page.md:3: {finding.text}: {finding.advice}"


def test_each_rule_has_a_phrase_here() -> None:
    pattern = plain_english.PATTERN
    groups = {match.lastindex for text in PHRASES for match in pattern.finditer(text)}
    assert groups == set(range(1, len(ADVICE) + 1)) == set(range(1, pattern.groups + 1))


@pytest.mark.parametrize("sentence", PLAIN)
def test_plain_sentence_passes(sentence: str) -> None:
    assert found(sentence) == []


def test_phrase_over_two_lines_is_found() -> None:
    assert found("The job runs at\nonce.") == [(1, "at once")]


def test_prose_of_python_is_read_and_code_is_not() -> None:
    source = '''"""The job said it."""
LIMIT = 3  # nobody
"""It is asked\nand told."""
TEXT = "she said"
LINES = (
    """
    he knows
    """
)
def ask(her): # type: ignore[said]
    r"""
    The job is anew.
    """
'''
    assert found(source, "module.py") == [
        *((1, "said"), (3, "asked"), (4, "told"), (13, "anew"), (2, "nobody"))
    ]


@pytest.mark.parametrize("file", ["a.sql", "a.lua"])
def test_comment_of_sql_and_lua_is_read(file: str) -> None:
    assert found("-- The row is\nSELECT told; -- anew\n", file) == [(2, "anew")]


@pytest.mark.parametrize("name", NAMES.replace("\n", "|").strip("|").split("|"))
def test_banned_word_in_a_test_name_is_found(name: str) -> None:
    source = f"def test_{name}() -> None: ...\n"
    assert found(source, "tests/test_a.py") == [(1, f"test_{name}")]
    assert found(source, "tests/helper.py") == []


def test_released_prompts_and_migrations_are_left_out() -> None:
    names = ["aifeature/features/a/v1.md", "aifeature/migrations/0001_first.py", "a.txt", "b.md"]
    assert plain_english.files(names) == ["b.md"]
    listed = plain_english.files()
    assert {"README.md", "tests/contract/plain_english.py"} <= set(listed)
    assert not [name for name in listed if "features/summarize/v" in name]


def test_findings_are_printed_and_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plain_english.main(["tests/contract/plain_english.py"]) == 0
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(plain_english, "ROOT", tmp_path)
    (tmp_path / "a.md").write_text("It runs anew.\n")
    assert plain_english.main(["a.md"]) == 1
    assert capsys.readouterr().out == "a.md:1: anew: use again\n"
