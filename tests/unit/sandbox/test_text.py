# ruff: noqa: RUF001 - other scripts have their own punctuation
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.sandbox import text, tokens


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Smith paid 3.5 euros. He left.", ["Dr. Smith paid 3.5 euros.", "He left."]),
        ("今天下雨。我们取消了比赛！明天呢？", ["今天下雨。", "我们取消了比赛！", "明天呢？"]),
        ("会議は十時です。部屋は三階。", ["会議は十時です。", "部屋は三階。"]),
        ("هل وصل الطلب؟ نعم وصل.", ["هل وصل الطلب؟", "نعم وصل."]),
        ("Great 👩‍👩‍👧! Next 🎉.", ["Great 👩‍👩‍👧!", "Next 🎉."]),
        ("- first point\n- second point", ["first point", "second point"]),
        ("Anna: see you\nBob: at ten", ["Anna: see you", "Bob: at ten"]),
        ("", []),
    ],
)
def test_splits_sentences_in_many_scripts(given_text: str, expected: list[str]) -> None:
    assert list(text.sentences(given_text)) == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "The committee led by Dr. Lund pays 3.5 million crowns for the repair of the old pier. ",
        "我们取消了第三场比赛。",
    ],
)
def test_a_long_paragraph_is_cut_only_between_sentences(sentence: str) -> None:
    assert list(text.sentences(sentence * 150)) == [sentence.strip()] * 150


def test_a_sentence_longer_than_a_piece_is_cut_between_words() -> None:
    words = ["harbour"] * (3 * text.PIECE // 8)
    assert " ".join(text.sentences(" ".join(words))).split() == words


@given(st.text())
def test_no_visible_word_character_is_lost(given_text: str) -> None:
    def letters(value: str) -> list[str]:
        return [char for char in value if char.isalpha()]

    assert letters(" ".join(text.sentences(given_text))) == letters(given_text)


def test_drops_markup_scripts_and_quote_marks() -> None:
    mail = "<p>Hello &amp; welcome</p><script>steal()</script>\n> quoted line"
    assert text.plain(mail).split() == ["Hello", "&", "welcome", "quoted", "line"]


def test_words_of_one_family_meet() -> None:
    for family in ("refund refunds refunded refunding", "crash crashes crashed crashing"):
        assert len(set(text.terms(family))) == 1
    assert len(set(text.terms("delete deletion deleting"))) == 1


def test_the_terms_of_ascii_text_do_not_change_beside_another_script() -> None:
    words = "Room_101 opens at 9:30, B2-floor"
    assert text.terms(words) == ["room", "101", "open", "9", "30", "b2", "floor"]
    assert text.terms(f"{words} ÄÄ") == [*text.terms(words), "ää"]


@given(st.text(max_size=60), st.integers(0, 40))
def test_clip_keeps_its_limit(given_text: str, limit: int) -> None:
    clipped = text.clip(given_text, limit)
    assert len(clipped) <= limit
    assert given_text.startswith(clipped)


def test_the_language_is_that_of_the_text_and_not_of_its_first_line() -> None:
    first = "Anna wrote: please find attached the invoice that you asked for last Monday.\n"
    answer = "Leider stimmt der Betrag nicht mit dem Vertrag überein, bitte korrigieren Sie ihn. "
    assert text.language(first) == "en"
    assert text.language(first + 4 * answer) == text.languages(first + 4 * answer)[0] == "de"


def test_clip_does_not_cut_an_emoji_family() -> None:
    assert text.clip("ab👩‍👩‍👧cd", 4) == "ab"


@given(st.text())
def test_tokens_join_to_the_text_and_never_outnumber_its_bytes(given_text: str) -> None:
    pieces = tokens.pieces(given_text)
    assert "".join(pieces) == given_text
    assert len(pieces) <= len(given_text.encode("utf-8", "surrogatepass"))
