"""Checks and converts data from users and providers: JSON values, input values, input text.

Public: `input_text`, `input_values`, `json_values`, `language`.

Size limit: 400 lines.
"""

from aifeature.services.payloads import input_text, input_values, json_values, language

__all__ = ["input_text", "input_values", "json_values", "language"]
