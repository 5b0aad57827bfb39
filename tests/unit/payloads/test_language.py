"""The language of an input is found, or called unclear."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from aifeature.services.payloads import language


class Ticket(BaseModel):
    subject: str
    lines: list[str]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("How do I get my money back if I do not like the course?", "en"),
        ("Wie bekomme ich mein Geld zurück, wenn mir der Kurs nicht gefällt?", "de"),
        ("Comment puis-je être remboursé de ce cours ?", "fr"),
        ("¿Cómo puedo cancelar mi suscripción mensual?", "es"),
        ("Jak mogę usunąć swoje konto nauczyciela?", "pl"),
        ("授業の返金はできますか教えてください", "ja"),
        ("ok", ""),
        ("", ""),
        ("12345 67890 +-*/ !!!! ???? 12345", ""),
    ],
)
def test_a_language_is_found_or_unclear(text: str, code: str) -> None:
    assert language.of_text(text) == code


def test_the_longest_text_of_an_input_decides() -> None:
    german = "Das Zertifikat zeigt noch immer den alten Namen unserer Schule."
    assert language.of(Ticket(subject="Certificate shows name", lines=["ok", german])) == "de"
    assert language.of(Ticket(subject="", lines=[])) == ""


def test_more_than_the_first_line_is_read() -> None:
    """A salutation, or a quoted line, in another language decides nothing."""
    text = (
        "Ticket 4711, Settings > Certificates > Names of courses and learners, Version 4.2."
        " Das Zertifikat zeigt noch immer den alten Namen unserer Schule, obwohl wir ihn geändert"
        " haben. Bitte stellen Sie alle Zertifikate dieses Monats mit dem neuen Namen aus."
    )
    assert language.of_text(text) == "de"
