"""A citation is shown at the sentence that it supports."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize(
    "quote",
    [
        "Nichts davon",
        "You can use the form that we have for you, and it is within the workspace.",
        "Remove the course of the teacher within 90 days.",
    ],
)
def test_a_quote_that_no_sentence_is_close_to_is_under_the_whole_answer(quote: str) -> None:
    found = citations.sentences(ANSWER, TEXT, [{"section": "lti", "quote": quote}])
    assert [len(each.cited) for each in found] == [0, 0, 0, 1]
    assert found[-1].text == ""


def test_numbers_and_names_place_a_quote_in_another_language() -> None:
    text = "Das geht 30 Tage lang. Der Plan School kostet 2.400 Dollar. Fragen Sie den Inhaber."
    quotes = [
        {"section": "plans-prices", "quote": "the School plan costs 2,400 dollars per year"},
        {"section": "refund-request", "quote": "Only the owner can ask for a refund."},
        {"section": "refund-window", "quote": "if you ask within 30 days of the payment"},
    ]
    found = citations.sentences(ANSWER, text, quotes)
    assert [[cited.number for cited in each.cited] for each in found] == [[3], [1], [], [2]]


def test_a_number_counts_more_than_words() -> None:
    text = "Fragen Sie innerhalb von 45 Tagen. Der Betrag kommt zurück."
    quote = (
        "ask the owner for a refund within 45 days of one of these payments, also by card or bank"
        " transfer, in any currency, with the number of the invoice, the name of the workspace, the"
        " reason, the plan, the seats, the contact, and names such as Tapir, Quokka or Dingo"
    )
    found = citations.sentences(ANSWER, text, [{"section": "refund-window", "quote": quote}])
    assert [len(each.cited) for each in found] == [1, 0]


def test_a_quote_that_is_as_close_to_two_sentences_is_under_the_whole_answer() -> None:
    text = "Refunds take 30 days. Refunds take 30 days."
    quote = {"section": "refund-window", "quote": "within 30 days refunds are paid"}
    found = citations.sentences(ANSWER, text, [quote])
    assert [len(each.cited) for each in found] == [0, 0, 1]


def test_a_short_answer_is_a_sentence() -> None:
    found = citations.sentences(ANSWER, "No. Only the owner can. See no. 5 of the list.", [])
    assert [each.text for each in found] == ["No.", "Only the owner can.", "See no. 5 of the list."]


@pytest.mark.parametrize(
    "sentence",
    [
        "Pick a format, e.g. CSV.",
        "It costs approx. 12 dollars.",
        "Choose Import etc. and wait.",
        "Das kostet ca. 12 Dollar, z. B. im Mai.",
        "1. Open the page.",
    ],
)
def test_an_abbreviation_does_not_end_a_sentence(sentence: str) -> None:
    found = citations.sentences(ANSWER, f"{sentence} Then wait.", [])
    assert [each.text for each in found] == [sentence, "Then wait."]


def test_an_answer_without_the_end_of_a_sentence_is_one() -> None:
    (only,) = citations.sentences(ANSWER, "30 days", [])
    assert (only.text, only.cited) == ("30 days", ())


def test_the_field_with_citations_is_found() -> None:
    assert citations.field_of(ANSWER) == "citations"
    assert citations.field_of(registry.get("summarize")) is None
    assert citations.field_of(ANSWER.model_copy(update={"sources": None})) is None
