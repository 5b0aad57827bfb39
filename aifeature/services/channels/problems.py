"""Why an address is refused, and why a message was not sent. No text contains an address."""

from __future__ import annotations


class AddressError(ValueError):
    """An address cannot be used. The text has the fix."""


class SendError(Exception):
    """A message was not accepted. The text is for operators and contains no secret."""
