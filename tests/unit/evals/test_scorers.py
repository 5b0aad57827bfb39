"""Each scorer passes what is right in any spelling, and fails what is wrong or empty."""

# ruff: noqa: RUF001 (characters that look alike are the matter of these tests)

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aifeature.spec import Source
from aifeature.suites import Case
from evals.scoring import ScorerError, language, scorers, sentences, texts
from tests.unit.evals.scored import FEATURE

ENGLISH = "The certificates show the old name of the school since the update."
GERMAN = "Die Zertifikate zeigen seit dem Update den alten Namen der Schule."


def faults(output: dict[str, Any], **expected: Any) -> dict[str, str]:
    """Return the note of each part that fails."""
    case = Case.model_validate(
        {"id": "a-case", "input": {"question": "How?"}, "expected": expected or {"language": "en"}}
    )
    parts = scorers.score(FEATURE, case, {"answer": ENGLISH, **output})
    assert all(part.passed is not bool(part.note) for part in parts)
    return {part.scorer: part.note for part in parts if not part.passed}


def lacks(text: str, **keywords: Any) -> str:
    return faults({"answer": text}, keywords=keywords).get("keywords", "")


# Texts.

READABLE = st.text(st.sampled_from("aB ı'\"-.´″…½ﬁ\u00a0\u200b\u0301ß１日–"), max_size=12)


@settings(max_examples=60)
@given(READABLE)
def test_a_readable_text_has_one_form(text: str) -> None:
    plain = texts.readable(text)
    assert texts.readable(plain) == plain
    assert not set(plain) & set("´‘’″“”–—\u00a0\u200b")


@settings(max_examples=60)
@given(READABLE, READABLE, READABLE)
def test_a_text_holds_each_part_of_itself(before: str, part: str, after: str) -> None:
    text = texts.readable(f"{before} {part} {after}")
    assert texts.holds(text, part)
    assert texts.holds(text, texts.readable(part).upper().lower())


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("It´s “new”", 'it\'s "NEW"'),
        ("30\u00a0days", "30 days"),
        ("soft\u00adhyphen", "softhyphen"),
        ("Straße", "STRASSE"),
        ("İPTAL EDİLDİ", "iptal edildi"),
        ("SINAV", "sınav"),
        ("10–12 May", "/10[-–]12/"),
        ("10–12", "/10[–—]12/"),
        ("a", "/^[a–z]$/"),
        ("30 日", "/３０/"),
        ("caf\u00e9", "/cafe\u0301/"),
        ("so…", "/so…$/"),
    ],
)
def test_spelling_does_not_decide(text: str, entry: str) -> None:
    assert texts.holds(texts.readable(text), entry)


@pytest.mark.parametrize(
    ("text", "entry"),
    [("b", "/[a–z]/"), ("sorry", "/so…/"), ("a-z", "/a.z/z"), ("/", "//x/"), ("no", "yes")],
)
def test_a_replaced_character_has_no_other_meaning(text: str, entry: str) -> None:
    assert not texts.holds(texts.readable(text), entry)


def test_texts_are_read_from_all_given_fields_in_order() -> None:
    output = {"b": [{"x": "1", "y": 2}, "3"], "a": "4", "c": None}
    assert texts.pieces(output, ("a", "b", "gone")) == ["4", "1", "3"]
    assert texts.pieces(output, ()) == ["1", "3", "4"]


# Keywords.


def test_all_keywords_are_needed_each_by_one_alternative() -> None:
    wanted = ["venv", ["pip", "/uv(?= )/"]]
    assert lacks("Use venv and uv now.", all=wanted) == ""
    assert lacks("Use venv and uvx.", all=wanted) == "lacks pip or /uv(?= )/"
    assert lacks("Use pip.", all=wanted) == "lacks venv"


def test_one_of_any_keywords_is_enough_and_none_is_not() -> None:
    assert lacks("In 30 days.", any=["month", "/\\b30\\b/"]) == ""
    assert lacks("In 300 days.", any=["month", "/\\b30\\b/"]) == "has none of month, /\\b30\\b/"


def test_a_forbidden_keyword_fails() -> None:
    assert lacks("It is Refunded.", none=["/refund(ed)?\\b/"]) == "has /refund(ed)?\\b/"
    assert lacks("It is refundable.", none=["/refund(ed)?\\b/"]) == ""


def test_keywords_are_searched_in_each_text_but_not_across_two() -> None:
    output = {"answer": "One two", "facts": ["three"]}
    assert faults(output, keywords={"all": ["three"]}) == {}
    assert faults(output, keywords={"all": ["two three"]}) != {}


# Other rules.


def test_an_exact_value_is_the_value_or_one_of_a_list() -> None:
    assert faults({"kind": "b"}, exact={"kind": "b"}) == {}
    assert faults({"kind": "b"}, exact={"kind": ["a", "b"]}) == {}
    assert faults({"facts": []}, exact={"facts": [[]]}) == {}
    assert faults({"kind": "b", "count": 2}, exact={"kind": "a", "count": [0, 1]}) == {
        "exact.kind": "'b' instead of 'a'",
        "exact.count": "2 instead of 0 or 1",
    }
    assert "exact.kind" in faults({}, exact={"kind": "a"}), "a value that is missing"


def test_all_citations_are_needed_and_one_of_any() -> None:
    def cited(*sections: str, **wanted: list[str]) -> str:
        cites = [{"section": each, "quote": "So it is."} for each in sections]
        return faults({"sections": cites}, citations=wanted).get("citations", "")

    assert cited("s-1", "s-2", all=["s-1"], any=["s-2", "s-3"]) == ""
    assert cited("s-1", all=["s-1", "s-2"]) == "does not cite s-2"
    assert cited("s-1", any=["s-2"]) == "cites none of s-2"
    assert cited(all=["s-1"]) == "does not cite s-1"


def test_an_output_that_does_not_fit_its_schema_fails_with_its_own_scorers() -> None:
    output = {"kind": "c", "count": 9}
    assert faults(output, custom={"acts": "passes"}) == {
        "schema": "2 fields do not fit",
        "custom.acts": "the output does not fit its schema",
    }


@pytest.mark.parametrize(
    ("expected", "scorer"),
    [
        ({"keywords": {"none": ["no"]}}, "keywords"),
        ({"language": "de"}, "language"),
        ({"length": {"max_words": 9}}, "length"),
    ],
)
@pytest.mark.parametrize("empty", ["", " \u200b\n"])
def test_an_empty_output_passes_no_scorer_of_texts(
    expected: dict[str, Any], scorer: str, empty: str
) -> None:
    assert faults({"answer": empty}, **expected) == {scorer: "the output has no text"}


@pytest.mark.parametrize(
    ("code", "text", "count"),
    [
        ("en", "Mr. Brown paid $3.50 on 3 Jan. at 5 p.m. He left.", 2),
        ("en", "no full stop", 1),
        ("en", "Really?! Yes... we do.", 2),
        ("en", "Version 4.2 is out. See example.com for it.", 2),
        ("de", "Am 3. März kam z. B. Frau Dr. Weiß. Sie zahlte 1.000 Euro.", 2),
        ("fr", "M. Dupont a payé 3,50 € le 1er mars. Il est parti !", 2),
        ("es", "¿Llegó el Sr. Pérez? Sí. Pagó 30 euros.", 3),
        ("pl", "Faktura nr 3 przyszła wczoraj. Zapłacono ją.", 2),
        ("tr", "Ödeme 3 Mart'ta yapıldı. Fatura geldi.", 2),
        ("ja", "請求書が届きました。支払いは三月です。", 2),
        ("zh", "发票已到。付款在三月。", 2),
        ("", "One. Two.", 2),
        ("en", " ... ", 0),
    ],
)
def test_sentences_are_counted_in_each_language(code: str, text: str, count: int) -> None:
    assert sentences.count(text, code) == count


def test_a_length_has_bounds_on_both_sides() -> None:
    def note(text: str, **length: int) -> str:
        return faults({"answer": text}, length=length).get("length", "")

    assert note("One two. Three.", min_sentences=2, max_sentences=2, max_words=3) == ""
    assert note("One.", min_sentences=2) == "1 sentences, at least 2"
    assert note("One. Two. Three.", max_sentences=2) == "3 sentences, at most 2"
    assert note("One two, three.", max_words=2) == "3 words, at most 2"


@pytest.mark.parametrize(
    ("expected", "text", "other"),
    [
        ("en", ENGLISH, ""),
        ("de", GERMAN, ""),
        ("de", ENGLISH, "en"),
        ("en", GERMAN, "de"),
        ("ja", "証明書には更新後も学校の古い名前が表示されています。", ""),
        ("en", "証明書", "ja"),
        ("de", "OK, Zoom 4.2", ""),
        ("de", "Im Menü „Settings > School“ den Namen der Schule wieder eintragen.", ""),
    ],
)
def test_only_another_language_that_is_sure_fails(expected: str, text: str, other: str) -> None:
    assert language.other_than(expected, text) == other


def test_the_main_text_alone_decides_language_and_length() -> None:
    output = {"answer": ENGLISH, "facts": [GERMAN, GERMAN]}
    assert faults(output, language="en", length={"max_sentences": 1}) == {}
    assert faults({**output, "answer": GERMAN}, language="en") == {"language": "de instead of en"}


def test_an_own_function_names_the_fault() -> None:
    assert faults({}, custom={"acts": "passes"}) == {}
    assert faults({}, custom={"acts": "too blue"}) == {"custom.acts": "too blue"}


@pytest.mark.parametrize(
    ("act", "problem"),
    [
        ("raises", "acts of scored raised KeyError"),
        ("false", "acts of scored returned no text but bool"),
        ("none", "acts of scored returned no text but NoneType"),
    ],
)
def test_an_own_function_without_a_verdict_is_no_pass(act: str, problem: str) -> None:
    with pytest.raises(ScorerError, match=problem):
        faults({}, custom={"acts": act})


# Figures.


@pytest.mark.parametrize(
    "text",
    [
        "It costs 1,200 dollars.",
        "It costs 1.200 dollars, since 14 March.",
        "It costs 1200 dollars until 10:30.",
        "Twelve of 12 schools pay 99.",
        "No figure at all.",
    ],
)
def test_figures_that_a_source_backs_pass(text: str) -> None:
    given = {"question": "We paid 1 200 on 14/3/2026 at 10.30, for 7 courses. Why?"}
    assert figures(text, given) == ""


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("It costs 1,300 dollars.", "1.300: in no source"),
        ("It was reviewed on 28 November, for 45 schools.", "28, 45: in no source"),
        ("It costs 12,000 dollars.", "12.000: in no source"),
    ],
)
def test_an_invented_figure_fails(text: str, note: str) -> None:
    assert figures(text, {"question": "We paid 1,200 on 14 March."}) == note


EXPECTED = {"figures": ["99"], "language": "en"}


def figures(text: str, given: dict[str, str]) -> str:
    case = Case.model_validate({"id": "a-case", "input": given, "expected": EXPECTED})
    notes = {part.scorer: part.note for part in scorers.score(FEATURE, case, {"answer": text})}
    return notes["figures"]


def test_a_section_backs_figures_only_if_it_is_cited(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Source(id="s-1", title="Prices", text="It costs 480 dollars.")
    monkeypatch.setitem(vars(FEATURE), "sources", lambda: {"s-1": text})
    output = {"answer": "It costs 480 dollars.", "sections": [{"section": "s-1", "quote": "480"}]}
    assert "figures" not in faults(output, figures=[], language="en")
    assert (
        faults({**output, "sections": []}, figures=[], language="en")["figures"]
        == "480: in no source"
    )
