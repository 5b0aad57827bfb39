"""The guards of an input, before anything of it is stored."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from aifeature.guarding import MAX_EVIDENCE, Finding, Guard, TimeLimit
from aifeature.personal_data import Redactor
from aifeature.services.guards import hidden, injection, personal, strings
from aifeature.spec import Feature, Guards, Policy

logger = logging.getLogger(__name__)

FAULT: Final = "fault"
"""Category of a finding about a guard that failed."""

LEAST_S: Final = 2.0
"""Seconds that the guards of an input may take, however short it is."""

CUT_FROM: Final = 250
"""Characters of evidence from which its ends may be in the middle of a word."""

_FIRST_WORDS: Final = re.compile(r"\A\S*(?:\W+\w*\d\w*)*+")
_LAST_WORDS: Final = re.compile(r"(?:\w*\d\w*\W+){0,12}\S*\Z")

S_PER_CHARACTER: Final = 20e-6
"""Seconds more for each character: about ten times what they usually take."""


class GuardFaultError(Exception):
    """A guard that must not be left out failed. Nothing of the input may be stored."""

    text_is_ours = True

    def __init__(self, guard: Guard) -> None:
        super().__init__(f"the guard {guard} failed")
        self.guard = guard


@dataclass(frozen=True, slots=True)
class Checked:
    """An input as it may be stored, with the findings in it."""

    value: dict[str, Any]
    findings: tuple[Finding, ...]
    """Those that are recorded, at most one of each category."""
    tightened: bool
    """Whether stricter rules hold for the answer."""
    refused: Finding | None
    """The finding for which the request is refused; None: it is not."""


def policy(guards: Guards, guard: Guard) -> Policy:
    """Return what follows from a finding of a guard of inputs, or of links."""
    found: Policy = getattr(guards, guard.value)
    return found


def check(feature: Feature, value: dict[str, Any]) -> Checked:
    """Remove hidden characters, replace personal data, and find attacks.

    `value` is a valid input as JSON values. The result may no longer fit the input model: a
    placeholder can be longer than what it replaces, and is no e-mail address.

    Raises:
        GuardFaultError: a guard failed that may not be left out.
    """
    run = _Run(feature.guards, TimeLimit(_seconds(value)))
    return run.check(value)


def _seconds(value: dict[str, Any]) -> float:
    return LEAST_S + S_PER_CHARACTER * sum(map(len, strings.of(value)))


class _Run:
    """The guards on their way through one input."""

    def __init__(self, guards: Guards, limit: TimeLimit) -> None:
        self._guards, self._limit = guards, limit
        self._found: dict[tuple[Guard, str], Finding] = {}
        self._hidden = 0

    def check(self, value: dict[str, Any]) -> Checked:
        visible = self._must(Guard.HIDDEN_CHARACTERS, lambda: strings.mapped(value, self._visible))
        redactor = Redactor(limit=self._limit)
        safe = self._must(Guard.PERSONAL_DATA, lambda: personal.redacted(visible, redactor))
        if self._hidden:
            self._note(Finding(Guard.HIDDEN_CHARACTERS, "hidden", count=self._hidden))
        for kind, count in redactor.found.items():
            self._note(Finding(Guard.PERSONAL_DATA, kind.value, count=count))
        # As it was sent: hidden characters may carry an order.
        for finding in self._attacks(value):
            self._note(replace(finding, evidence=_evidence(finding.evidence)))
        return self._result(safe)

    def _visible(self, text: str) -> str:
        cleaned, count = hidden.clean(text)
        self._hidden += count
        self._limit.check()
        return cleaned

    def _attacks(self, value: dict[str, Any]) -> list[Finding]:
        """Return what the heuristics find; a fault is a finding, since they only flag."""
        try:
            return [
                each for text in strings.of(value) for each in injection.scan(text, self._limit)
            ]
        except Exception as error:
            logger.exception("guard %s failed", Guard.INJECTION)
            if Policy.REFUSE in (self._guards.injection, self._guards.foul_language):
                raise GuardFaultError(Guard.INJECTION) from error
            return [Finding(Guard.INJECTION, FAULT)]

    def _must(self, guard: Guard, change: Callable[[], Any]) -> Any:
        try:
            return change()
        except Exception:  # its text may quote the input, so it is not passed on
            logger.exception("guard %s failed", guard)
        raise GuardFaultError(guard)

    def _note(self, finding: Finding) -> None:
        """Keep a finding; of several of one category the first, with their number."""
        if policy(self._guards, finding.guard) is Policy.OFF:
            return
        key = (finding.guard, finding.category)
        known = self._found.get(key)
        count = finding.count + (known.count if known else 0)
        self._found[key] = replace(known or finding, count=count)

    def _result(self, value: dict[str, Any]) -> Checked:
        findings = tuple(self._found.values())
        policies = {each: policy(self._guards, each.guard) for each in findings}
        refused = next((each for each in findings if policies[each] is Policy.REFUSE), None)
        tightened = any(found in (Policy.TIGHTEN, Policy.REFUSE) for found in policies.values())
        return Checked(value, findings, tightened, refused)


def _evidence(words: str) -> str:
    """Return the words of a finding without personal data; empty if that cannot be sure."""
    words = hidden.clean(words)[0]
    if len(words) >= CUT_FROM:  # a number or an address may be cut at either end
        words = _LAST_WORDS.sub("", _FIRST_WORDS.sub("", words))
    try:
        return Redactor().redact(words)[:MAX_EVIDENCE]
    except Exception:
        logger.exception("evidence of a finding not stored")
        return ""
