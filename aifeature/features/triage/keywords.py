"""Labels of a ticket by its words, in English, German, French and Spanish: the plainest answer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Final

from aifeature.features.triage.high_stakes import Stake
from aifeature.features.triage.labels import Category, Urgency

_OF_STAKES: Final = {
    Stake.SECURITY: Category.SECURITY,
    Stake.LEGAL: Category.LEGAL,
    Stake.REFUND: Category.REFUND,
    Stake.DELETION: Category.PRIVACY,
}
_WORDS: Final = {
    Category.REFUND: """
        refund reimburse money-back erstatt geld-zuruck rembours reembols devolucion""",
    Category.CERTIFICATE: "certificat zertifikat certificad",
    Category.INTEGRATION: """
        lti webhook api zapier slack sso saml moodle calendar-feed kalender""",
    Category.BILLING: """
        invoice billing payment card price plan seat vat subscription rechnung zahlung preis abo
        facture paiement tarif abonnement factura pago precio suscripcion""",
    Category.ACCESS: """
        sign-in login log-in password locked two-factor code anmelden passwort gesperrt connexion
        mot-de-passe connecter contrasena iniciar-sesion acceso""",
    Category.QUIZ_PROBLEM: """
        quiz question timer attempt grade score exam frage versuch note tentative minuteur
        cuestionario pregunta intento nota""",
    Category.COURSE_CONTENT: """
        cours lesson video enrol module kurs lektion lecon curso leccion""",
    Category.PRIVACY: """
        privacy gdpr personal-data export datenschutz dsgvo rgpd donnees privacidad""",
    Category.ABUSE: """
        spam abuse harass cheating forged insult beleidig missbrauch harcel triche acoso""",
    Category.ACCOUNT: "account profile email role konto profil rolle compte cuenta perfil",
    Category.TECHNICAL: "error slow crash page load browser fehler langsam erreur lent lento",
}
"""Beginnings of words. The first category with the most matches counts."""

_CRITICAL: Final = """
    exam-stopped nobody-can everyone-is-locked running-exam niemand-kann personne-ne nadie-puede"""
_HIGH: Final = """
    urgent asap today tomorrow immediately dringend heute morgen sofort demain hoy manana"""
_LOW: Final = """
    feature-request suggestion wish would-be-nice thank wunsch vorschlag danke merci gracias"""
_LANGUAGES: Final = {
    "de": "und ich der die das nicht ist mit wir bitte ein zu fur",
    "fr": "je le la les nous est pas une pour mon dans vous bonjour",
    "es": "el la los no es una por mi para hola que nosotros con",
    "en": "the i and is my to we of please it in not can",
}


def category(ticket: str, stakes: Collection[Stake]) -> tuple[Category, str]:
    """Return the category, and the word that decided it; empty if none did."""
    found = {each: _matches(ticket, words) for each, words in _WORDS.items()}
    best = max(found, key=lambda each: len(found[each]))
    word = found[best][0] if found[best] else ""
    for stake, of_stake in _OF_STAKES.items():
        if stake in stakes:
            return of_stake, word
    return (best, word) if word else (Category.OTHER, "")


def urgency(ticket: str, stakes: Collection[Stake]) -> Urgency:
    if _matches(ticket, _CRITICAL) or {Stake.SELF_HARM, Stake.SECURITY} & set(stakes):
        return Urgency.CRITICAL
    if _matches(ticket, _HIGH) or stakes:
        return Urgency.HIGH
    return Urgency.LOW if _matches(ticket, _LOW) else Urgency.NORMAL


def language(ticket: str) -> str:
    """Return the language with the most of its small words; English if none occurs."""
    seen = _folded(ticket).split()
    counts = {code: sum(map(seen.count, words.split())) for code, words in _LANGUAGES.items()}
    return max(("en", *counts), key=lambda code: counts[code])


def _matches(ticket: str, words: str) -> list[str]:
    """Return the words of a list with which a word of the ticket begins."""
    text = f" {' '.join(_folded(ticket).split())}"
    return [name for word in words.split() if f" {(name := word.replace('-', ' '))}" in text]


def _folded(text: str) -> str:
    """Return the words of a text in lower case, without accents."""
    split = unicodedata.normalize("NFKD", text.casefold())
    return re.sub(r"[^\w]+", " ", "".join(c for c in split if not unicodedata.combining(c)))
