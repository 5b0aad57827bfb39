"""A citation is shown at the sentence that it supports."""

from __future__ import annotations

from aifeature import registry
from aifeature.web import citations

ANSWER = registry.get("answer")

TEXT = (
    "You can ask for a refund within 30 days. Only the owner of the workspace can ask.\n"
    "We answer within five working days."
)


def test_each_citation_is_at_the_sentence_closest_to_its_quote() -> None:
    quotes = [
        {"section": "refund-request", "quote": "Only the owner can ask for a refund."},
        {"section": "refund-window", "quote": "ask for a full refund within 30 days"},
        {"section": "gone-section", "quote": "five working days"},
    ]
    one, two, three = citations.sentences(ANSWER, TEXT, quotes)
    assert [each.number for each in one.cited] == [2]
    assert [each.title for each in two.cited] == [ANSWER.sources()["refund-request"].title]  # type: ignore[misc]
    assert one.cited[0].url == "/f/answer/sources/#refund-window"
    assert (three.cited[0].title, three.cited[0].url) == ("gone-section", "")


def test_a_quote_without_common_words_is_at_the_first_sentence() -> None:
    quotes = [{"section": "refund-window", "quote": "Nichts davon"}]
    first, *others = citations.sentences(ANSWER, TEXT, quotes)
    assert len(first.cited) == 1
    assert not any(each.cited for each in others)


def test_an_answer_without_the_end_of_a_sentence_is_one() -> None:
    (only,) = citations.sentences(ANSWER, "30 days", [])
    assert (only.text, only.cited) == ("30 days", ())


def test_the_field_with_citations_is_found() -> None:
    assert citations.field_of(ANSWER) == "citations"
    assert citations.field_of(registry.get("summarize")) is None
    assert citations.field_of(ANSWER.model_copy(update={"sources": None})) is None
