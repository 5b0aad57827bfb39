"""The handbook is whole, and the rules of `answer` hold its citations to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aifeature import prompts
from aifeature.features.answer import feature, handbook
from aifeature.features.answer.feature import Answer, Question
from workers.inference import catalog

QUESTION = Question(question="How long can I ask for a refund?")
GOOD = {"section": "refund-window", "quote": ""}


def first_words(section: str) -> str:
    """Return a quote with other white space, case and marks than the section has."""
    words = handbook.sections()[section].text.split()[:8]
    return "  ".join(words).upper().replace("`", "")


def problems(**changes: Any) -> list[str]:
    values = {
        "answer": "Within 30 days.",
        "citations": [{"section": "refund-window", "quote": first_words("refund-window")}],
        "confidence": "high",
        "not_in_handbook": False,
        **changes,
    }
    return list(feature.check(QUESTION, Answer.model_validate(values)))


def test_the_handbook_is_large_enough_and_its_prefix_stays_in_the_lower_tier() -> None:
    assert len(handbook.sections()) >= 40
    words = sum(len(each.text.split()) for each in handbook.sections().values())
    assert words >= 12_000
    size = len(prompts.get("answer", "v1").system.encode())
    assert size < 90_000
    for model in feature.FEATURE.models:
        assert size > 4 * catalog.get(model).cache_min_tokens


def test_every_section_is_in_the_cached_part_with_its_id() -> None:
    system = prompts.get("answer", "v1").system
    for section in handbook.sections().values():
        assert f"### {section.title} {{#{section.id}}}" in system
        assert section.group
        assert section.text


def test_a_citation_of_words_that_stand_there_is_right() -> None:
    assert problems() == []
    assert problems(citations=[], not_in_handbook=True) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"citations": [{"section": "gift-cards", "quote": "Gift cards exist."}]}, "no section"),
        (
            {"citations": [{"section": "refund-window", "quote": "within two years"}]},
            "do not stand in that section",
        ),
        (
            {"citations": [{"section": "sso-setup", "quote": first_words("refund-window")}]},
            "do not stand in that section",
        ),
        ({"citations": []}, "cites at least one section"),
        ({"not_in_handbook": True}, "cites nothing"),
    ],
)
def test_a_wrong_citation_is_a_problem(changes: dict[str, Any], problem: str) -> None:
    (found,) = problems(**changes)
    assert problem in found


def test_the_plain_answer_quotes_the_closest_section() -> None:
    plain = feature.plain(QUESTION)
    assert plain.citations[0].section.startswith("refund")
    assert "the renewal of a yearly plan" in plain.answer, "a list is not cut off"
    assert not plain.answer.endswith(":")
    assert list(feature.check(QUESTION, plain)) == []
    unknown = feature.plain(Question(question="Have you gift vouchers?"))
    assert unknown.not_in_handbook
    assert list(feature.check(QUESTION, unknown)) == []


@pytest.mark.parametrize("question", ["?", "you and the", "x" * 2_000])
def test_any_question_has_a_plain_answer(question: str) -> None:
    assert feature.plain(Question(question=question)).not_in_handbook


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of France?",
        "Can I pay with bitcoin?",
        "Is there a mobile app for Android?",
        "Wie kann ich mein Konto in QuizCraft löschen?",
    ],
)
def test_a_few_common_words_of_a_question_are_not_enough(question: str) -> None:
    assert feature.plain(Question(question=question)).not_in_handbook


@pytest.mark.parametrize(
    ("question", "quoted"),
    [
        ("Who can do cancellations?", "Only the owner can cancel."),
        ("Which pricing does the Team plan have?", "12 dollars per seat"),
        ("How do I install it with pip?", "Create a system user"),
    ],
)
def test_the_plain_answer_quotes_sentences_with_any_form_of_a_word(
    question: str, quoted: str
) -> None:
    """Code is no sentence."""
    answer = feature.plain(Question(question=question)).answer
    assert quoted in answer
    assert "python3 -m venv" not in answer


def test_an_unknown_question_leads_to_a_ticket() -> None:
    unknown = feature.plain(Question(question="Have you gift vouchers?"))
    offered = feature.follow_up(QUESTION, unknown)
    assert offered is not None
    assert offered.input == {"ticket": QUESTION.question}
    assert feature.follow_up(QUESTION, feature.plain(QUESTION)) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("# A book\n\nNo sections.", "no line such as"),
        ("### One {#a-a}\n\nText.\n\n### Two {#a-a}\n\nText.", "two sections have the id 'a-a'"),
    ],
)
def test_a_broken_handbook_is_named(
    text: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "handbook.md"
    file.write_text(text)
    monkeypatch.setattr(handbook, "FILE", file)
    with pytest.raises(handbook.HandbookError, match=f"handbook.md: {problem}"):
        handbook.sections.__wrapped__()
