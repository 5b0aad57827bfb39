"""A fixture for tests of pages: no page reads the mark of synthetic data."""

from __future__ import annotations

import pytest

from aifeature.services.stores import demo_data

__all__ = ["no_page_reads_the_synthetic_mark"]


@pytest.fixture(autouse=True)
def no_page_reads_the_synthetic_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages read it once a minute: a test that counts queries would fail at random."""
    monkeypatch.setattr(demo_data.reader, "_read_at", float("inf"))
    monkeypatch.setattr(demo_data.reader, "_before", None)
