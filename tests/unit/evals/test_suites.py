"""Each broken line of a suite is an error with its file, its line, and what to change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aifeature import registry, suites
from aifeature.suites import SuiteError
from tests.unit.evals.scored import FEATURE

TOML = '[tags]\nusual = "A usual question"\n'
JUDGED = TOML + '[criteria]\ntrue = "5: true; 1: false"\n'
GOOD = {
    "id": "good",
    "input": {"question": "How?"},
    "expected": {"keywords": {"all": ["so"]}},
    "tags": ["usual"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / FEATURE.slug
    made.mkdir()
    (made / suites.ABOUT).write_text(TOML)
    monkeypatch.setattr(suites, "FOLDER", tmp_path)
    return made


def line(**parts: Any) -> str:
    return json.dumps({**GOOD, **parts}, ensure_ascii=False)


def error(folder: Path, content: str | bytes, name: str = suites.FILE) -> str:
    """Return the message about a suite with this content."""
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(data)
    with pytest.raises(SuiteError) as raised:
        suites.load(FEATURE)
    return str(raised.value)


def expecting(**expected: Any) -> str:
    return line(id="odd", expected=expected)


BROKEN: dict[str, tuple[str | bytes, str]] = {
    "no JSON": ("{'id': 1}", "not JSON: Expecting property name enclosed in double quotes"),
    "half a line": (line()[:-9], "not JSON: Expecting "),
    "no object": ("[]", "Input should be an object"),
    "deep": ("[" * 100_000, "not JSON: maximum recursion depth exceeded"),
    "a number that is none": (expecting(exact={"count": float("nan")}), "NaN is no number in JSON"),
    "half a character": (line(note="%").replace("%", r"\ud800"), "Invalid JSON: "),
    "NUL": (line(note="%").replace("%", r"\\\u0000"), "u0000 cannot be stored"),
    "empty": (" \t", "the line is empty: delete it"),
    "not UTF-8": (line(id="odd", note="é").encode("latin-1"), "is not UTF-8: save the file as UTF"),
    "a name twice": ('{"id": "a", "id": "b"}', "'id' is given twice in one object"),
    "no expectation": ('{"id": "odd", "input": {"question": "?"}}', "expected: Field required"),
    "unknown field": (line(id="odd", expectd=1), "expectd: Extra inputs are not permitted"),
    "unknown scorer": (expecting(keyword=["so"]), "expected.keyword: Extra inputs are not permit"),
    "unknown function": (
        expecting(custom={"gone": 1}),
        "expected.custom: 'gone' is no function of the feature's suite",
    ),
    "unknown tag": (line(id="odd", tags=["usuall"]), "tags: 'usuall' is not in suite.toml"),
    "second id": (line(), "id: 'good' is the id of an earlier line"),
    "odd id": (line(id="Odd Id"), "id: String should match pattern"),
    "figures alone": (expecting(figures=[]), "figures alone require nothing"),
    "nothing expected": (expecting(), "nothing is expected, so every output would pass"),
    "no keyword": (expecting(keywords={}), "expected: Value error, keywords: nothing is required"),
    "no length": (expecting(length={"max_words": None}), "length: nothing is required"),
    "no citation": (expecting(citations={"all": []}, language="en"), "citations: nothing is req"),
    "no right value": (expecting(exact={"facts": []}), "write [[]] for an empty list"),
    "no alternative": (expecting(keywords={"all": [[]]}), "at least 1 item"),
    "invisible keyword": (expecting(keywords={"any": [" \u200b"]}), "needs a visible character"),
    "wrong expression": (expecting(keywords={"none": ["/(/"]}), "/(/ is no regular expression: "),
    "expression of nothing": (
        expecting(keywords={"all": [["so", "/(so)?/"]]}),
        "/(so)?/ fits an empty text, so that it requires nothing",
    ),
    "impossible length": (
        expecting(length={"min_sentences": 3, "max_sentences": 2}),
        "min_sentences is above max_sentences",
    ),
    "unknown output field": (
        expecting(exact={"sort": "a"}),
        "expected.exact: there is no output field 'sort'",
    ),
    "value that no output has": (
        expecting(exact={"kind": ["a", "c"]}),
        "expected.exact.kind: 'c' is no value of the field",
    ),
    "text for a number": (expecting(exact={"count": "1"}), "count: '1' is no value of the field"),
    "number out of range": (expecting(exact={"count": 7}), "count: 7 is no value of the field"),
    "unknown section": (
        expecting(citations={"any": ["s-1", "s-9"]}),
        "expected.citations: the feature has no section 's-9'",
    ),
    "wrong language": (expecting(language="English"), "expected.language: String should match"),
    "no criteria": (expecting(reference="So."), "expected.reference: suite.toml has no criteria"),
    "long reference": (expecting(reference="a" * 20_001), "at most 20000 characters"),
    "must as text": (line(id="odd", must="yes"), "must: Input should be a valid boolean"),
    "must as number": (line(id="odd", must=1), "must: Input should be a valid boolean"),
    "tags as text": (line(id="odd", tags="usual"), "tags: Input should be a valid array"),
    "length as text": (expecting(length={"max_words": "9"}), "length.max_words: Input should be"),
    "input of another feature": (
        line(id="odd", input={"ticket": "x"}),
        "input.question: Field required",
    ),
    "huge": (
        line(id="odd", input={"question": "a" * 1_000_000}),
        "input: it has 1,000,015 bytes, and the feature accepts 1,000,000",
    ),
    "half a group held out": (
        "\n".join([line(id="in", group="g"), line(id="out", group="g", held_out=True)]),
        "held_out: group 'g' must be held out as a whole or not",
    ),
}


@pytest.mark.parametrize(("content", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_line_is_named(folder: Path, content: str | bytes, words: str) -> None:
    data = content.encode() if isinstance(content, str) else content
    found = error(folder, line().encode() + b"\n" + data + b"\n")
    place, _, problem = found.partition(": ")
    assert place in {"cases.jsonl:2", "cases.jsonl:3"}
    assert words in problem
    assert "\n" not in found, "one problem"


def test_all_broken_lines_are_named_at_once(folder: Path) -> None:
    found = error(folder, f"{line(tags=['x'])}\n\n{line(id='two')}\n{line(id='three', must=2)}")
    assert [each.split(" ")[0] for each in found.splitlines()] == [
        "cases.jsonl:1:",
        "cases.jsonl:2:",
        "cases.jsonl:4:",
    ]


def test_a_byte_order_mark_is_named(folder: Path) -> None:
    for name in (suites.FILE, suites.SIMPLE):
        assert "without a byte order mark" in error(folder, f"\ufeff{line()}", name)
        (folder / name).unlink()


def test_ends_of_lines_change_nothing(folder: Path) -> None:
    """A text may hold ends of lines of Unicode, which end no line of a file."""
    lines = [line(id=name, input={"question": "a\u2028b\u0085c"}) for name in ("one", "two")]
    found = []
    for end, last in (("\n", "\n"), ("\n", ""), ("\r\n", "\r\n")):
        (folder / suites.FILE).write_bytes((end.join(lines) + last).encode())
        found.append(suites.load(FEATURE))
    assert [case.id for case in found[0].cases] == ["one", "two"]
    assert len({suite.hash for suite in found}) == 1


def test_a_file_without_a_case_is_an_error(folder: Path) -> None:
    assert error(folder, "").endswith("cases.jsonl has no case.")
    (folder / suites.FILE).unlink()
    with pytest.raises(SuiteError, match=r"cases\.jsonl cannot be read: No such file"):
        suites.load(FEATURE)


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ("[tags]\nusual = 1", "suite.toml: tags.usual: Input should be a valid string"),
        ("[tag]\nusual = 'x'", "suite.toml: tag: Extra inputs are not permitted"),
        ("[tags\n", "suite.toml: Expected ']' at the end of a table declaration (at line 1"),
        (TOML + "[criteria]\ntrue = ''", "criteria.true: String should have at least 1"),
        (TOML + f"[criteria]\ntrue = '{'a' * 2_001}'", "criteria.true: String should have at most"),
        (
            TOML + "[criteria]\n" + "\n".join(f"c{n} = 'x'" for n in range(9)),
            "criteria: Dictionary should have at most 8 items",
        ),
    ],
)
def test_a_broken_description_of_a_suite_is_named(folder: Path, about: str, words: str) -> None:
    """The judge's input has the same limits as the criteria: a run would find out too late."""
    (folder / suites.ABOUT).write_text(about)
    assert words in error(folder, line())


def test_only_what_can_change_a_verdict_changes_the_hash(folder: Path) -> None:
    def hash_of(about: str = JUDGED, **parts: Any) -> str:
        (folder / suites.FILE).write_text(line(**parts))
        (folder / suites.ABOUT).write_text(about)
        return suites.load(FEATURE).hash

    first = hash_of()
    assert first == hash_of(note="why", tags=[])
    others = [
        hash_of(must=True),
        hash_of(group="g"),
        hash_of(expected={"keywords": {"any": ["so"]}}),
        hash_of(JUDGED.replace("false", "wrong")),
    ]
    assert len({first, *others}) == 5


# The form of the article.

ROWS = '[\n  {"input": "How?", "expected_keyword": "so"},\n\n  %s\n]\n'


def test_the_short_form_fills_the_one_required_text(folder: Path) -> None:
    (folder / suites.SIMPLE).write_text(ROWS % '{"input": "a, [b]", "expected_keyword": "30 days"}')
    first, second = suites.load(FEATURE).cases
    assert (first.id, second.id) == ("case-1", "case-2")
    assert second.input == {"question": "a, [b]"}
    assert second.expected.keywords == suites.Keywords(all=("30 days",))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (ROWS % '{"input": "x"}', ":4: each object has the texts input and expected_keyword"),
        (ROWS % '{"input": 1, "expected_keyword": "x"}', ":4: each object has the texts"),
        (ROWS % '{"input": "x", "expected_keyword": "x", "id": ""}', ":4: each object"),
        (ROWS % '"x"', ":4: each object has the texts"),
        (ROWS % '{"input": "x", "input": "y"}', ":4: 'input' is given twice"),
        (ROWS % '{"input": "x", "expected_keyword": " "}', ":4: expected_keyword: Value error"),
        (ROWS % '{"input": "x", "expected_keyword": "/(/"}', ":4: expected_keyword: Value error"),
        (ROWS % '{"input": "", "expected_keyword": "x"}', ":4: input.question: String should have"),
        (ROWS % '{"input": NaN}', ":4: not JSON: NaN is no number"),
        (ROWS % "", ":5: not a list in JSON: "),
        ("[" * 100_000, ": not a list in JSON: maximum recursion"),
        (b'["\xff"]', ": byte 3 is not UTF-8: save the file as UTF-8"),
        (line(), ":1: not a list in JSON: it is another value"),
        ("[]", " has no case."),
    ],
)
def test_a_broken_row_of_the_short_form_is_named(
    folder: Path, content: str | bytes, words: str
) -> None:
    assert f"test_set.json{words}" in error(folder, content, suites.SIMPLE)


def test_a_feature_of_several_texts_has_no_short_form(tmp_path: Path) -> None:
    path = tmp_path / suites.SIMPLE
    path.write_text('[{"input": "x", "expected_keyword": "x"}]')
    with pytest.raises(SuiteError, match=r"^test_set\.json: judge needs task, given, output, crit"):
        suites.load(registry.get("judge"), path=path)


def test_no_suite_hides_behind_another(folder: Path) -> None:
    (folder / suites.FILE).write_text(line())
    assert "there is a test_set.json as well: keep one" in error(folder, "[]", suites.SIMPLE)
