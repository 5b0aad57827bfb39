"""Replaces personal data in text by typed and numbered placeholders. Pure: no Django.

    >>> redact("Write to ann@example.com or call +49 30 12345678, Ann@example.com reads it.")
    'Write to [EMAIL_1] or call [PHONE_1], [EMAIL_1] reads it.'

`Redactor` keeps the numbers of one job: the same value gets the same placeholder. `redact_json`
replaces in every string of a JSON value. `values` returns the normalised values of a text.
"""

from aifeature.personal_data.kinds import Kind
from aifeature.personal_data.redactor import Redactor, redact, redact_json, values

__all__ = ["Kind", "Redactor", "redact", "redact_json", "values"]
