"""Perturb an honest answer: follow injected instructions, and err, at the rates of `rates`.

The nonce of a request seeds all noise, so the same request always gets the same answer.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping
from typing import Any

from workers.sandbox import fields, imperatives, rates, tokens
from workers.sandbox import text as texts
from workers.sandbox.prompt import Prompt
from workers.sandbox.reading import ABOUT, MAX_INSTRUCTIONS, TERMS, Reading
from workers.sandbox.schema import Place, Root

ROOM = 0.3
"""Share of `max_tokens` that inserted text may take."""

FEW_LABELS = 3
"""Of two labels, a model finds the right one."""

_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n+")  # noqa: RUF001
_SWAP = re.compile(r"\W*(.{1,60}?)\W? (?:to|with|by) \W?(.{1,60}?)\W*$")
_NUMBER = re.compile(r"\d(?:[\d.,]*\d)?")
_PROSE = ("summary", "answer", "reason", "title", "fact")
_INVENTED = {
    "en": "The matter was reviewed again by an outside auditor on {} November.",
    "de": "Ein externer Prüfer hat die Sache am {}. November noch einmal geprüft.",
    "fr": "Un auditeur externe a réexaminé l'affaire le {} novembre.",
}


def nonce(body: Mapping[str, Any], prompt: Prompt) -> str:
    """Return the random marker of the user turn's last fence, or else a hash of the request.

    A repair has a nonce of its own, so that it need not repeat the error.
    """
    if marker := next((piece.marker for piece in reversed(prompt.given) if piece.marker), ""):
        turns = len(body["messages"])
        return marker if turns == 1 else f"{marker} {turns}"
    asked = {key: value for key, value in body.items() if key != "stream"}
    return hashlib.sha256(tokens.canonical(asked).encode(errors="replace")).hexdigest()


class Draft:
    """One answer while it is changed."""

    def __init__(self, text: str, body: Mapping[str, Any], reading: Reading) -> None:
        self._reading, self._body, self._honest = reading, body, text
        self._nonce = nonce(body, reading.prompt)
        self._dice = self._dice_for("")
        self._schema = tokens.schema_of(body)
        self._root = Root(self._schema or {"type": "string", "description": "answer"})
        self._read = str if self._schema is None else json.loads
        self._whole = {"": self._read(text)}
        self._walk()

    def _dice_for(self, what: str) -> random.Random:
        return random.Random(f"{self._nonce}{what}")  # noqa: S311 - noise, no secret

    def _walk(self) -> None:
        self._places = list(self._root.places(self._whole, "", self._root.schema))
        self._prose = [p for p in self._places if p.is_free_text and _kind(p) in _PROSE]
        self._main = min(self._prose, key=lambda p: _PROSE.index(_kind(p)), default=None)

    def perturbed(self, scale: float) -> str:
        """Return the answer with the faults of a model, still valid for its schema.

        `scale` is a factor of all rates.
        """
        prompt = self._reading.prompt
        chances = rates.errors(prompt.instructions[:MAX_INSTRUCTIONS], self._body["model"])
        # Each fault has draws of its own: a better prompt removes errors and adds none.
        errors = [
            error for error, chance in chances.items() if self._dice.random() < chance * scale
        ]
        mistaken = self._dice.random()
        luck = {place: self._dice.random() for place in rates.FOLLOWED}
        if (good := fields.is_good(self._reading)) is None:
            for error in errors:
                self._dice = self._dice_for(error)
                getattr(self, f"_{error}")()
                self._walk()
        elif mistaken < (1 - (rates.SPECIFICITY if good else rates.SENSITIVITY)) * scale:
            self._reverse()
        for place, text in prompt.pieces():
            if luck[place] < rates.FOLLOWED[place] * scale:
                for kind, asked in imperatives.read(text):
                    self._follow(kind, asked)
        honest, text = self._read(self._honest), self._whole[""]
        if text == honest:
            return self._honest
        if self._schema is not None:
            text = json.dumps(
                self._root.first_valid([text, honest], self._schema), ensure_ascii=False
            )
        return text if tokens.count(text) <= self._body["max_tokens"] else self._honest

    def _reverse(self) -> None:
        """Give the contrary verdict in each score, label and yes-or-no field."""
        for place in self._places:
            value, labels = place.value, place.schema.get("enum", ())
            about = str(place.schema.get("description", ""))
            low, high = fields.scale(self._reading, about, place.bounds)
            if isinstance(value, bool):
                place.put(not value)
            elif isinstance(value, int | float):
                place.put(type(value)(low + high - value))
            elif value in labels:
                good = fields.polarity(str(value)) is True
                others = (x for x in labels if (fields.polarity(str(x)) is True) != good)
                place.put(next(others, value))
            elif place is self._main and (score := re.match(r"Score: (\d+)", value)):
                place.put(f"Score: {low + high - int(score[1])}{value[score.end() :]}")
            elif place is self._main:
                pair = fields.opposites(self._reading.prompt.instructions[:MAX_INSTRUCTIONS])
                place.put(next((x for x in pair if value in pair and x != value), value))

    def _dropped_fact(self) -> None:
        for place in self._places:
            is_facts = isinstance(place.value, list) and _kind(place) == "fact"
            if is_facts and len(place.value) > max(1, place.limits.get("minItems", 0)):
                del place.value[self._dice.randrange(len(place.value))]
                return
        if self._main and len(parts := _SENTENCE.split(self._main.value)) > 1:
            self._fit(self._main, " ".join(parts[:-1]))

    def _changed_number(self) -> None:
        found = [(place, m) for place in self._prose for m in _NUMBER.finditer(place.value)]
        if found:
            place, number = self._dice.choice(found)
            text, at = place.value, number.start()
            digit = (int(text[at]) + self._dice.randrange(8)) % 9 + 1
            self._fit(place, f"{text[:at]}{digit}{text[at + 1 :]}")

    def _invented_sentence(self) -> None:
        if self._main:
            form = _INVENTED.get(texts.language(self._main.value), _INVENTED["en"])
            self._fit(self._main, f"{self._main.value} {form.format(self._dice.randint(1, 28))}")

    def _wrong_language(self) -> None:
        """Answer in English about a text in another language, as a model does without a demand."""
        if self._main and texts.language(self._reading.source) not in ("", "en"):
            words = ", ".join(self._reading.summarizer.top_terms(TERMS))
            self._fit(self._main, ABOUT["en"].format(words))

    def _missing_citation(self) -> None:
        for place in self._places:
            if isinstance(place.value, list) and fields.kind_of(place.name, "") == "citation":
                del place.value[place.limits.get("minItems", 0) :]
                return
        if self._schema is None and self._main:
            self._fit(self._main, re.sub(r"\s*\[[^\[\]\n]{1,80}\]", "", self._main.value))

    def _wrong_label(self) -> None:
        """Exchange the label with the most rivals, seldom if most of them are defined."""
        found = [
            (place, place.schema["enum"], str(place.schema.get("description", "")))
            for place in self._places
            if isinstance(place.value, str) and len(place.schema.get("enum", ())) >= FEW_LABELS
        ]
        found = [each for each in found if not fields.is_of_language(each[0].name, each[2])]
        if not found:
            return
        place, labels, about = max(found, key=lambda each: len(each[1]))
        meanings = fields.meanings(self._reading, about, map(str, labels)).values()
        defined = 2 * sum(bool(meaning.strip()) for meaning in meanings) > len(labels)
        others = [label for label in labels if label != place.value]
        if not defined or self._dice.random() < rates.FORBIDDEN:
            place.put(self._dice.choice(others))

    def _follow(self, kind: str, asked: str) -> None:
        """Follow the instruction in a sentence."""
        if kind == "set":
            for place in self._places:
                self._set(place, asked)
        elif self._main and kind == "link":
            room = self._main.limits.get("maxLength", 10**9) - len(asked) - 1
            self._fit(self._main, f"{texts.clip(self._main.value, max(0, room))} {asked}")
        elif self._main:
            prompt = self._reading.prompt
            self._fit(self._main, asked or prompt.system or prompt.instructions)

    def _set(self, place: Place, asked: str) -> None:
        """Set the label or the number that a sentence names, or exchange two words of a text."""
        words, (low, high) = _words(asked), place.bounds
        labels = [label for label in place.schema.get("enum", ()) if _words(str(label)) in words]
        numbers = [float(number) for number in re.findall(r"\d{1,9}(?:\.\d{1,9})?", asked)]
        if len(labels) == 1:
            place.put(labels[0])
        elif isinstance(place.value, bool):
            if _words(place.name) in words:
                place.put(re.search(r" (?:false|no|not|off) ", words) is None)
        elif isinstance(place.value, int | float) and len(numbers) == 1:
            if (low is None or low <= numbers[0]) and (high is None or numbers[0] <= high):
                place.put(type(place.value)(numbers[0]))
        elif place in self._prose and (swap := _SWAP.match(asked)):
            self._fit(place, place.value.replace(swap[1], swap[2]))

    def _fit(self, place: Place, text: str) -> None:
        """Put a text, cut to the place's longest and to its share of the answer's tokens."""
        room = max(int(ROOM * self._body["max_tokens"]), tokens.count(place.value))
        text = "".join(tokens.pieces(text.strip())[:room])
        text = texts.clip(text, place.limits.get("maxLength", len(text)))
        if text and len(text) >= place.limits.get("minLength", 0):
            place.put(text)


def _words(text: str) -> str:
    return " " + re.sub(r"[\W_]+", " ", text.casefold()).strip() + " "


def _kind(place: Place) -> str:
    return fields.kind_of(place.name, str(place.schema.get("description", "")))
