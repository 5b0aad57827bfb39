"""Texts that take quadratic time in a naive reader are answered in linear time."""

from __future__ import annotations

import time
from typing import Any

import pytest

from workers.sandbox import document, harms
from workers.sandbox.answer import answer

pytestmark = pytest.mark.slow

LONGEST = 400_000
"""Characters of the longest input of a feature."""

CPU_S = 3.0
"""Limit of CPU time, several times the usual value; quadratic time is ten seconds and more."""

TABLE = "| keeper | island |\n| --- | --- |\n" + "".join(
    f"| Oda {row} Brandt | Skarv, {row} litres |\n" for row in range(3000)
)
TEXTS = {
    "open images": "![a" * 133_000,
    "open links": "[a](" * 100_000,
    "open scripts": "<script>" * 50_000,
    "open comments": "<!--" * 100_000,
    "open tags": "".join(f"<t{number}>" for number in range(50_000)),
    "closing tags first": "".join(f"</t{n}>" for n in range(22_000))
    + "".join(f"<t{n}>" for n in range(22_000)),
    "open fences": "~~~ x\n" * 66_000,
    "fences of all lengths": "".join("`" * length + "\n" for length in range(3, 890)),
    "short lines": "a\n" * 200_000,
    "items": "- a\n" * 100_000,
    "nested quotes": "> " * 200_000,
    "emphasis": "**a*" * 100_000,
    "quotes": "“a. ” " * 66_000,
    "sentences without spaces": "我们取消了比赛。" * 50_000,
    "long heading": "# a" + "#" * 399_000 + "b",
    "hyphens": "1-" * 200_000,
    "stars": "label " + "*" * 399_000,
    "brackets": "[" * LONGEST,
    "table": TABLE,
    "wide table": f"|{'a|' * 500}\n|{'-|' * 500}\n" + "|a|\n" * 30_000,
    "many wide tables": (f"|{'a|' * 98}\n|{'-|' * 98}\n" + "|a|\n" * 48 + "\n") * 98,
    "one fence": "```" + "~" * 399_000 + "`x`\n",
    "indented lines": "The lamp\n" + f"{' ' * 395}b c\n" * 1000,
    "forged ends": "</docu" * 66_000,
    "words to say": 'say "' * 80_000,
    "imperatives": "say exactly x. " * 26_000,
    "links to add": "add ![](" * 50_000,
    "marker lines": "".join(f"== a{number:08d} ==\n" for number in range(26_000)),
    "datamarks": "word^" * 80_000,
    "German": "Wem gehört der Leuchtturm? " * 14_000,
    "Chinese": "谁拥有这座灯塔" * 57_000,
    "widest table": f"|{'a|' * 18}\n|{'-|' * 18}\n" + "|a|\n" * 4950,
}


def _message(text: str, system: str) -> dict[str, Any]:
    return {
        "model": "claude-haiku-5-5",
        "max_tokens": 300,
        "system": system,
        "messages": [{"role": "user", "content": text}],
    }


@pytest.mark.parametrize("name", TEXTS)
def test_a_hostile_text_is_answered_in_linear_time(name: str) -> None:
    text = TEXTS[name][:LONGEST]
    for body in (
        _message(text, ""),
        _message(f"<document>{text}</document>", "Summarise the document."),
        _message(
            f"<handbook>{text}</handbook><question>When are lamps lit?</question>",
            "Answer the question.",
        ),
        _message(
            f"<document>{text}</document><summary>{text}</summary>",
            "Score the summary from 1 to 5.",
        ),
    ):
        started = time.process_time()
        assert isinstance(answer(body, error_rates=1.0), str)
        assert time.process_time() - started < CPU_S


@pytest.mark.parametrize("part", ["kill your ", "women ", "„", "kill a b "])
def test_a_hostile_text_is_moderated_in_linear_time(part: str) -> None:
    started = time.process_time()
    assert harms.find(part * (100_000 // len(part))) is not None
    assert time.process_time() - started < CPU_S


def test_the_rows_of_a_long_table_are_sampled_evenly() -> None:
    rows = [unit.text for unit in document.units(TABLE) if unit.kind == "row"]
    assert 500 < len(rows) <= document.MAX_UNITS
    assert rows[0] == "Oda 0 Brandt: Skarv, 0 litres"
    assert any("Oda 29" in row for row in rows[-20:])
