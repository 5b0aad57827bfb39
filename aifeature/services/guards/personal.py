"""Replaces personal data in JSON values, numbers included."""

from __future__ import annotations

from typing import Any, Final

from aifeature.personal_data import Redactor, redact_json

CARD_DIGITS: Final = 12
"""Digits of the shortest payment card. A longer number may be one without more words."""

NAMED_DIGITS: Final = 7
"""Digits from which a number is personal data in a field such as `phone`."""


def redacted(value: Any, redactor: Redactor) -> Any:
    """Return JSON values without personal data. A number that is personal data becomes a text.

    Raises GuardTimeoutError if the redactor has a time limit.
    """
    return redact_json(_without_numbers(value, redactor, ""), redactor)


def _without_numbers(value: Any, redactor: Redactor, name: str) -> Any:
    match value:
        case dict():
            return {key: _without_numbers(part, redactor, str(key)) for key, part in value.items()}
        case list():
            return [_without_numbers(part, redactor, name) for part in value]
        case bool():
            return value
        case int() | float() if value == value // 1:
            return _number(value, redactor, name)
        case _:
            return value


def _number(value: float, redactor: Redactor, name: str) -> Any:
    digits = str(abs(int(value)))
    if len(digits) < NAMED_DIGITS:
        return value
    if len(digits) >= CARD_DIGITS:
        found = redactor.redact(digits)
        return value if found == digits else found
    if Redactor().redact(digits, name=name) == digits or Redactor().redact(digits) != digits:
        return value  # by its digits alone it may be an order, or an amount
    return redactor.redact(digits, name=name)
