"""Made-up personal data of all kinds that no store may hold, each in a sentence of a person."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple
from urllib.parse import quote, quote_plus


class Planted(NamedTuple):
    """A value, and the words around it."""

    value: str
    words: str = "{}"

    @property
    def sentence(self) -> str:
        return self.words.format(self.value)


PLANTED: Final = (
    Planted("anna.berg@postkontor.example", "Please answer {} today"),
    Planted("jean-luc+caisse@exemple.example", "Mon adresse est {}"),
    Planted("o_grady@mail.praxis.example", "E-Mail: {}"),
    Planted("+49 1512 3456789", "Meine Handynummer ist {}"),
    Planted("+33 6 12 34 56 78", "Tél. {}"),
    Planted("+1 201-555-0123", "Call me at {}"),
    Planted("+81 90-1234-5678", "Phone {}"),
    Planted("+5511961234567", "Telefone: {}"),
    Planted("4242 4242 4242 4242", "My card is {}"),
    Planted("378282246310005", "Kreditkarte {}"),
    Planted("6011-0009-9013-9424", "carte bancaire {}"),
    Planted("4000000000000000006", "card number {}"),
    Planted("DE75 5121 0800 1245 1261 99", "IBAN {}"),
    Planted("gb33bukb20201555555555", "iban {}"),
    Planted("NO9386011117947", "Konto {}"),
    Planted("536-90-4399", "social security number {}"),
    Planted("54362315K", "DNI {}"),
    Planted("390.533.447-05", "CPF {}"),
    Planted("RCCMNL83S18D969H", "codice fiscale {}"),
    Planted("295109912611193", "numéro de sécurité sociale {}"),
    Planted("44051401359", "PESEL {}"),
    Planted("756.9217.0769.85", "AHV-Nummer {}"),
    Planted("203.0.113.77", "from {} yesterday"),
    Planted("2001:db8:85a3::8a2e:370:7334", "host {}"),
    Planted("sk-proj-Ab3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW", "the key {}"),
    Planted("AKIAIOSFODNN7EXAMPLE", "access key {}"),
    Planted("ghp_Ab3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xYz", "token {}"),
    Planted("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P", "{}"),
    Planted("Tr0ub4dor&3xyz", "password: {}"),
    Planted("Sommer!2031geheim", "Passwort: {}"),
)

EVERYTHING: Final = ". ".join(each.sentence for each in PLANTED)

_SEPARATORS: Final = re.compile(r"[\s./()-]")


def _variants(value: str) -> Iterable[str]:
    yield from (value, _SEPARATORS.sub("", value), html.escape(value))
    yield from (quote(value, safe=""), quote_plus(value, safe=""), json.dumps(value)[1:-1])


_NEEDLES: Final = {
    each: {variant.casefold() for variant in _variants(each.value)} for each in PLANTED
}


def found_in(text: str) -> list[str]:
    """Return the planted values in a text, as they are or in a simple variant."""
    text = text.casefold()
    return [each.value for each, needles in _NEEDLES.items() if any(n in text for n in needles)]


def pieces(longest: int) -> Iterator[str]:
    """Yield all sentences, as many in one text as fit into a field of this length.

    A sentence that does not fit is reduced to its value.
    """
    text = ""
    for each in PLANTED:
        own = each.sentence if len(each.sentence) <= longest else each.value
        joined = f"{text}. {own}" if text else own
        if len(joined) > longest:
            yield text
            joined = own
        text = joined
    yield text
