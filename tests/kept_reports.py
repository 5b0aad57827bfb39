"""A Sentry client that keeps its reports instead of sending them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sentry_sdk
from sentry_sdk.transport import Transport

from project import reporting


class Kept(Transport):
    """Keeps the reports."""

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        super().__init__(options)
        self.sent: list[bytes] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.sent.append(envelope.serialize())

    @property
    def text(self) -> str:
        """All reports so far."""
        sentry_sdk.flush()
        return b"".join(self.sent).decode()


@contextmanager
def kept_reports(**options: Any) -> Iterator[Kept]:
    """Report errors as a deployment does, to a transport that keeps the reports."""
    before = sentry_sdk.get_client()
    kept = Kept()
    reporting.start("https://key@sentry.invalid/1", transport=kept, **options)
    try:
        yield kept
    finally:
        sentry_sdk.get_client().close(timeout=0)
        sentry_sdk.get_global_scope().set_client(before)
