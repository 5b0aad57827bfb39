"""The guards of the answers of one run, from the raw text of a call to what its user sees."""

from __future__ import annotations

import html
import json
import logging
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from django.conf import settings

from aifeature import personal_data
from aifeature.fences import Rendered
from aifeature.guarding import Finding, Guard, TimeLimit
from aifeature.models.guard_event import GuardEvent, NewGuardEvent
from aifeature.personal_data import Redactor
from aifeature.prompts import Prompt
from aifeature.reasons import FailureCode
from aifeature.services.guards import (
    answers,
    hidden,
    inputs,
    leaks,
    links,
    personal,
    refusals,
    strings,
)
from aifeature.services.guards.answers import Detect
from aifeature.services.guards.moderation import text_of, verdict
from aifeature.services.guards.release import FAILED, Released
from aifeature.spec import Feature, Policy

__all__ = ["AnswerGuards", "Problem", "clean", "text_of", "verdict", "without_canary"]

logger = logging.getLogger(__name__)

LIMIT_S: Final = 5.0
"""Seconds that the guards of one answer may take."""

ROUNDS: Final = 5
"""Most rounds of the rules over one answer. Two are usual, the second of which changes nothing."""

_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([nrtbf/\"\\]))")
_ESCAPED: Final = {
    **dict.fromkeys("bf", " "),
    "n": "\n",
    "r": "\n",
    "t": "\t",
    **{sign: sign for sign in '/"\\'},
}


class Problem(NamedTuple):
    """Why an answer cannot be shown, although it fits the schema."""

    code: FailureCode
    sentence: str
    """For the model, which gets one repair."""


def clean(text: str) -> str:
    """Return the text of an answer to a call without a job, as it may be stored.

    Never raises: a text that cannot be cleaned is not stored.
    """
    redactor = Redactor(limit=TimeLimit(LIMIT_S))
    try:
        return _changed(text, lambda value: _settled(value, redactor, frozenset())[0])
    except Exception:
        logger.exception("an answer could not be cleaned, so its text is not stored")
        return ""


def canary_line() -> str:
    """Return the sentence that ends each system prompt of this deployment."""
    return leaks.line(settings.SECRET_KEY)


def without_canary(text: str) -> str:
    """Return a text as sent without the canary, for people."""
    return text.replace(leaks.canary(settings.SECRET_KEY), "[canary]")


class AnswerGuards:
    """The guards of the answers of one run of a job."""

    def __init__(
        self,
        feature: Feature,
        prompt: Prompt,
        rendered: Rendered,
        given: Any,
        *,
        tightened: bool,
        detect: Detect,
    ) -> None:
        """Take what the answers depend on.

        Args:
            feature: The feature of the job.
            prompt: Its prompt.
            rendered: The user turn.
            given: The input as JSON values, from which the turn was made.
            tightened: Whether stricter rules hold, because of a finding in the input.
            detect: The detector of languages.
        """
        self.feature = feature
        self.tightened = tightened
        self.system = f"{prompt.system}\n\n{canary_line()}"
        self._unsafe: Finding | None = None
        self.events: list[NewGuardEvent] = []
        """Rows for the audit log."""
        self._rendered, self._detect = rendered, detect
        self._known = tuple(strings.of(given))
        self._public = _public(prompt.system)
        self._leaks = _leaks(settings.SECRET_KEY)

    def clean(self, text: str) -> str:
        """Return the text of an answer without datamarks, hidden characters and personal data.

        Each call has placeholders that count on from those of the input. Never raises: an answer
        that cannot be cleaned is empty, and unsafe.
        """
        self._unsafe = None
        redactor = self._redactor()
        try:
            found = _changed(text, lambda value: self._cleaned(value, redactor))
        except Exception:
            logger.exception("guards of an answer failed; it is withheld")
            self._fail()
            return ""
        if self.feature.guards.personal_data is not Policy.OFF:
            for kind, count in redactor.found.items():
                finding = Finding(Guard.PERSONAL_DATA, kind.value, count=count)
                self._note(finding, GuardEvent.Action.REDACTED)
            if redactor.found and self.feature.guards.personal_data is Policy.REFUSE:
                self._withhold(Finding(Guard.PERSONAL_DATA, "answer"))
        return found

    def problem(self, result: dict[str, Any]) -> Problem | None:
        """Return why a valid answer cannot be shown, although another one might; None: it can."""
        text = self._main_text(result)
        try:
            found = self._problem(text)
        except Exception:
            logger.exception("guard %s failed", Guard.ANSWER)
            self._note(Finding(Guard.ANSWER, inputs.FAULT), GuardEvent.Action.FAILED_OPEN)
            return None
        if found is not None:
            # The model gives another answer, which may be shown.
            self._note(Finding(Guard.ANSWER, found.code.value), GuardEvent.Action.FLAGGED)
        return found

    def cleaned(self, result: dict[str, Any]) -> dict[str, Any]:
        """Return an answer that no model gave, as users may see it. It is unsafe if that fails."""
        self._unsafe = None
        try:
            found: dict[str, Any] = self._safe(result, self._redactor())
        except Exception:
            logger.exception("guards of an answer failed; it is withheld")
            self._fail()
            return result
        return found

    def is_unsafe(self) -> bool:
        """Return whether a finding so far forbids to show the latest answer."""
        return self._unsafe is not None

    def withhold(self, finding: Finding) -> None:
        """Note that a finding makes the answer unsafe."""
        self._withhold(finding)

    def released(self) -> ReleasedText:
        """Return the guard of the text of one call while it is shown."""
        # Without a time limit: the text arrives over minutes, and each window of it is short.
        redactor = Redactor(self._known, public=self._public.values)

        def numbered(text: str) -> str:
            return self._neutral(redactor, text)

        def preview(text: str) -> str:
            """Clean a text whose end may be half a number, which must not get a placeholder."""
            return self._neutral(Redactor(self._known, public=self._public.values), text)

        # The text comes in batches, so each of them is read.
        find, growing = self._leaks.find, self._leaks.growing
        released = Released(numbered, find, growing, preview=preview, step=1)
        return ReleasedText(self._rendered, released, self._stream_failed)

    def _neutral(self, redactor: Redactor, text: str) -> str:
        found: str = _settled(text, redactor, self._public.urls)[0]
        return found

    def _stream_failed(self) -> None:
        fault = Finding(Guard.PERSONAL_DATA, inputs.FAULT)
        stage, action = GuardEvent.Stage.STREAM, GuardEvent.Action.FAILED_CLOSED
        self.events.append(NewGuardEvent(stage, action, fault))

    def _cleaned(self, value: Any, redactor: Redactor) -> Any:
        """Return JSON values, or broken JSON as one text, as they may be stored."""
        return self._safe(self._rendered.restored(value), redactor)

    def _safe(self, value: Any, redactor: Redactor) -> Any:
        allowed = frozenset() if self.tightened else self._public.urls
        found, removed, plain = _settled(value, redactor, allowed)
        if any(map(self._leaks.find_in, (value, plain, _decoded(value)))):
            self._withhold(Finding(Guard.LEAK, "canary"))
        policy = self.feature.guards.links
        if removed and policy is not Policy.OFF:
            self._note(Finding(Guard.LINKS, "link", count=removed), GuardEvent.Action.REMOVED)
            if policy is Policy.REFUSE:
                self._withhold(Finding(Guard.LINKS, "answer"))
        return found

    def _fail(self) -> None:
        fault = Finding(Guard.PERSONAL_DATA, inputs.FAULT)
        self._withhold(fault, GuardEvent.Action.FAILED_CLOSED)

    def _problem(self, text: str) -> Problem | None:
        guards = self.feature.guards
        given = max(self._known, key=len, default="")
        is_close = (answers.shared(text, given) or 0) >= answers.CLOSE
        if not is_close and refusals.is_refusal(text):
            return Problem(FailureCode.ANSWER_REFUSED, "answer: it declines the task; do the task")
        if guards.from_input and is_close:
            return None
        if guards.languages and (wrong := self._language_problem(text, given)):
            return Problem(FailureCode.WRONG_LANGUAGE, f"answer: {wrong}")
        if guards.from_input and answers.off_topic(text, given, detect=self._detect):
            return Problem(FailureCode.OFF_TOPIC, "answer: it must be about the given text")
        return None

    def _language_problem(self, text: str, given: str) -> str:
        among, detect = self.feature.guards.languages, self._detect
        expected = answers.language_of(given, among, detect)
        if not expected:
            return ""
        return answers.language_problem(text, expected=expected, among=among, detect=detect)

    def _main_text(self, result: dict[str, Any]) -> str:
        suite = self.feature.suite
        fields = [self.feature.stream_field, *(suite.text if suite else ())]
        named = (result.get(name) for name in fields if name)
        own = next((text for text in named if isinstance(text, str)), None)
        return own if own is not None else max(strings.of(result), key=len, default="")

    def _redactor(self) -> Redactor:
        return Redactor(self._known, public=self._public.values, limit=TimeLimit(LIMIT_S))

    def _withhold(
        self, finding: Finding, action: GuardEvent.Action = GuardEvent.Action.WITHHELD
    ) -> None:
        self._unsafe = self._unsafe or finding
        self._note(finding, action)

    def _note(self, finding: Finding, action: GuardEvent.Action) -> None:
        stage = (
            GuardEvent.Stage.GUARD if finding.category == inputs.FAULT else GuardEvent.Stage.ANSWER
        )
        self.events.append(NewGuardEvent(stage, action, finding))


class ReleasedText:
    """The guard of a growing text: without datamarks, and as far as the rules have passed it."""

    def __init__(self, rendered: Rendered, released: Released, failed: Callable[[], None]) -> None:
        """`failed` is called once after a rule has failed. No text follows it."""
        self._rendered, self._released, self._failed = rendered, released, failed
        self._raw = self._fed = ""

    def feed(self, piece: str) -> str:
        """Return the text that may be shown now, after this piece of the answer. Never raises."""
        if self._released.stopped:
            return ""
        self._raw += piece
        certain = self._rendered.restore_prefix(self._raw)
        new, self._fed = certain[len(self._fed) :], certain
        shown = self._released.feed(new) if new else ""
        if self._released.stopped.startswith(FAILED):
            self._failed()
        return shown


class _Public(NamedTuple):
    """Values and addresses in a feature's own texts, which its answers may repeat."""

    values: frozenset[str]
    urls: frozenset[str]


@lru_cache(maxsize=4)
def _leaks(secret: str) -> leaks.Leaks:
    return leaks.Leaks(secret)


@lru_cache(maxsize=64)
def _public(system: str) -> _Public:
    return _Public(personal_data.values(system), links.urls(system))


class _TwiceError(ValueError):
    """An object has a name twice. Parsers differ in which value they keep."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError
    return found


def _changed(text: str, change: Callable[[Any], Any]) -> str:
    """Return an answer with its JSON values changed; if it is no JSON, as one text."""
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        changed: str = change(_without_escapes(text))
        return changed
    changed_value = change(value)
    # Escaped, a half of a surrogate pair stays text.
    return text if changed_value == value else json.dumps(changed_value)


def _settled(value: Any, redactor: Redactor, allowed: frozenset[str]) -> tuple[Any, int, Any]:
    """Return JSON values without hidden characters, links and personal data.

    Each rule reads again what another one has changed: a removed tag joins what it divided.

    Returns:
        The values, the number of removed links, and the values before the last redaction.

    Raises:
        RuntimeError: the rules do not come to an end.
    """
    removed = 0

    def neutral(text: str) -> str:
        nonlocal removed
        found, count = links.neutralise(text, allowed=allowed)
        removed += count
        return found

    value = _visible(value)
    for _ in range(ROUNDS):
        plain = strings.mapped(value, neutral)
        found = personal.redacted(plain, redactor)
        if found == value:
            return found, removed, plain
        value = found
    raise RuntimeError(f"the rules still change an answer after {ROUNDS} rounds")


def _decoded(value: Any) -> Any:
    return strings.mapped(value, html.unescape)


def _visible(value: Any) -> Any:
    return strings.mapped(value, lambda text: hidden.clean(text)[0])


def _without_escapes(text: str) -> str:
    """Return broken JSON with its escaped characters, in which a rule would not find a value."""
    return _ESCAPE.sub(_character, text) if "\\" in text else text


def _character(found: re.Match[str]) -> str:
    if found[2]:
        return _ESCAPED[found[2]]
    character = chr(int(found[1], 16))
    return character if character.isprintable() else found[0]
