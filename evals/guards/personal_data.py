"""Recall and precision of the redaction of personal data, per kind, over generated values.

Two halves: `TUNED` has the sentences that the authors of the rules read, `HELD_OUT`
has other sentences, languages and seeds. Their figures are reported apart.
"""

# ruff: noqa: RUF001 (sentences of many languages)

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from aifeature.personal_data import Kind, Redactor, redact_json
from evals.guards.disguises import DISGUISED, disguised
from evals.guards.figures import Row
from evals.guards.values_of_kinds import SHARE, Values


@dataclass(frozen=True, slots=True)
class Half:
    """Sentences of five languages and a seed."""

    name: str
    seed: int
    sentences: tuple[str, ...]
    """With a value that needs no word."""

    worded: tuple[tuple[str, str], ...]
    """Language, and a sentence with a word before the value."""

    words: dict[str, dict[str, str]]
    """The words of each language for a phone, a card and a password."""


TUNED: Final = Half(
    "tuned",
    20_260_101,
    (
        "Please use {value} from now on.", "You will find it under {value}, as discussed.",
        "{value}",
        'She wrote "{value}" on the form.', "Contact details ({value}) are in the file.",
        "Bitte verwenden Sie {value} für die Anmeldung.", "Wir haben {value} notiert; danke!",
        "Eingetragen war zuletzt {value}", "Voici ce que le client a donné : {value}.",
        "J'ai bien reçu {value} hier soir.", "Merci de noter {value}, c'est urgent.",
        "El cliente dejó {value} en el formulario.", "Quedó registrado {value} ayer.",
        "¿Puede comprobar {value}?", "客户留下的是{value}，请核对。", "请记录：{value}。",
        "系统里写的是 {value} 吗？",
        "| name | {value} |", "Line one.\n{value}\nLine three.", "**{value}** was entered twice.",
    ),
    (
        ("en", "My {word} is {value}."), ("en", "{word}: {value}"), ("en",
        "The {word} {value} is on file."),
        ("de", "Mein {word} lautet {value}."), ("de", "{word}: {value}"), ("fr",
        "Mon {word} est {value}."),
        ("fr", "{word} : {value}"), ("es", "Mi {word} es {value}."), ("es", "{word}: {value}"),
        ("zh", "我的{word}是{value}。"), ("zh", "{word}：{value}"),
    ),
    {
        "en": {"phone": "phone number", "card": "card number", "password": "password"},
        "de": {"phone": "Telefon", "card": "Kreditkarte", "password": "Passwort"},
        "fr": {"phone": "téléphone", "card": "carte bancaire", "password": "mot de passe"},
        "es": {"phone": "teléfono", "card": "tarjeta", "password": "contraseña"},
        "zh": {"phone": "电话", "card": "信用卡", "password": "密码"},
    },
)  # fmt: skip

HELD_OUT: Final = Half(
    "held out",
    77_001,
    (
        "Kindly forward everything to {value} before Friday.",
        "My neighbour gave me {value} yesterday.",
        "- first entry: {value}\n- second entry: none", "<td>{value}</td>",
        "Is {value} still right?",
        "Puoi controllare {value} per favore?", "Ho annotato {value} sul modulo.",
        "Risulta ancora {value}, è corretto?",
        "Kunt u {value} even nakijken?", "Er staat {value} in het dossier.",
        "Wij hebben {value} ontvangen!",
        "Proszę sprawdzić {value} w systemie.", "W formularzu wpisano {value}.",
        "Czy {value} jest poprawne?",
        "フォームには{value}と書いてあります。", "{value}を確認してください。",
        "記録は {value} です。",
        "Pode verificar {value} ainda hoje?", "O cliente indicou {value} no formulário.",
        "Foi registado {value}; obrigado.",
    ),
    (
        ("en", "Use the {word} {value} please."), ("en", "Her {word} = {value}"), ("it",
        "Il mio {word} è {value}."),
        ("it", "{word}: {value}"), ("nl", "Mijn {word} is {value}."), ("nl", "{word}: {value}"),
        ("pl", "Mój {word} to {value}."), ("pl", "{word}: {value}"), ("ja",
        "{word}は{value}です。"),
        ("ja", "{word}: {value}"), ("pt", "O meu {word} é {value}."), ("pt", "{word}: {value}"),
    ),
    {
        "en": {"phone": "mobile", "card": "credit card", "password": "password"},
        "it": {"phone": "telefono", "card": "numero della carta", "password": "password"},
        "nl": {"phone": "telefoonnummer", "card": "kaartnummer", "password": "wachtwoord"},
        "pl": {"phone": "telefon", "card": "numer karty", "password": "hasło"},
        "ja": {"phone": "電話番号", "card": "カード番号", "password": "パスワード"},
        "pt": {"phone": "telefone", "card": "cartão", "password": "senha"},
    },
)  # fmt: skip

HALVES: Final = (TUNED, HELD_OUT)
HARMLESS: Final = 400
"""Sentences with a harmless look-alike, for each half."""

FIELDS: Final = ("ticket", "question", "document")
"""The fields of the shipped features. Each sentence is the text of one of them, in turn."""

_PROSE: Final = (
    "The order 10045 left on 2024-05-06 at 10:30, and its invoice over 1,234.50 EUR was paid within"
    " 14 days. Nobody complained about the service, and the second parcel went to room 12. We will"
    " look into the matter of version 2.3.1 next week, when everybody is back from the conference. "
)


@dataclass(slots=True)
class Outcome:
    """The hits, misses and false alarms of one half."""

    cases: Counter[Kind] = field(default_factory=Counter)
    hits: Counter[Kind] = field(default_factory=Counter)
    false_alarms: Counter[Kind] = field(default_factory=Counter)
    misses: list[tuple[str, str, str]] = field(default_factory=list)
    """Kind or `harmless`, the sentence, and what it became."""

    disguised_cases: Counter[Kind] = field(default_factory=Counter)
    disguised_hits: Counter[Kind] = field(default_factory=Counter)
    """Of values that are split or coded."""

    harmless: int = 0
    harmless_changed: int = 0


def outcome(half: Half, share: int = SHARE, harmless: int = HARMLESS) -> Outcome:
    """Redact `share` values of each kind and some harmless sentences.

    A value is a hit if the placeholder of its kind stands exactly in its place. Each other
    placeholder is a false alarm of its kind.
    """
    values, others = Values(half.seed), Values(half.seed + 1)
    result = Outcome()
    for kind in Kind:
        for number in range(share):
            value, word = values.of(kind, number)
            sentence = _sentence(half, values, word)
            _count(result, kind, sentence, value, number)
        if kind in DISGUISED:
            for number in range(share):
                value = disguised(others, kind, number)
                word = "phone" if kind is Kind.PHONE else ""
                _count(result, kind, _sentence(half, others, word), value, number, disguise=True)
    for number in range(harmless):
        sentence = values.random.choice(half.sentences).format(value=values.harmless(number))
        redactor = Redactor()
        redacted = _redacted(sentence, number, redactor)
        result.harmless += 1
        if redactor.found:
            result.harmless_changed += 1
            result.false_alarms += redactor.found
            result.misses.append(("harmless", sentence, redacted))
    return result


def _redacted(text: str, number: int, redactor: Redactor) -> str:
    """Return a text redacted as the input of a feature is: in a field with a name."""
    name = FIELDS[number % len(FIELDS)]
    redacted: dict[str, str] = redact_json({name: text}, redactor)
    return redacted[name]


def _sentence(half: Half, values: Values, word: str) -> str:
    if not word:
        return values.random.choice(half.sentences)
    language, sentence = values.random.choice(half.worded)
    word = half.words[language].get(word, word)
    return sentence.replace("{word}", word)


def _count(
    result: Outcome, kind: Kind, sentence: str, value: str, number: int, *, disguise: bool = False
) -> None:
    text = sentence.format(value=value)
    redactor = Redactor()
    redacted = _redacted(text, number, redactor)
    cases = result.disguised_cases if disguise else result.cases
    cases[kind] += 1
    if redacted == sentence.format(value=f"[{kind.label}_1]"):
        hits = result.disguised_hits if disguise else result.hits
        hits[kind] += 1
        return
    if not disguise:
        result.false_alarms += redactor.found
    result.misses.append((kind.value, text, redacted))


def rows() -> list[Row]:
    """Return recall and precision of each kind, and the false alarms, of both halves."""
    made: list[Row] = []
    for half in HALVES:
        got = outcome(half)
        for kind in Kind:
            name = f"{kind.value}, {half.name}"
            hits = got.hits[kind]
            made += (
                Row(name, "recall", hits, got.cases[kind]),
                Row(name, "precision", hits, hits + got.false_alarms[kind]),
            )
        made += (
            Row(
                f"split or coded {kind.value}, {half.name}",
                "recall",
                got.disguised_hits[kind],
                got.disguised_cases[kind],
            )
            for kind in DISGUISED
        )
        made.append(
            Row(f"look-alikes, {half.name}", "false alarms", got.harmless_changed, got.harmless)
        )
    return made


def milliseconds_per_2kb(repeats: int = 50) -> float:
    """Return the least CPU time of one redaction of 2,000 characters of prose with some numbers."""
    text = (_PROSE * 20)[:2000]
    Redactor().redact(text)
    least = float("inf")
    for _ in range(repeats):
        start = time.thread_time()
        Redactor().redact(text)
        least = min(least, time.thread_time() - start)
    return least * 1000
