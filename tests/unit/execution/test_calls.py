"""The order of the steps before a call is sent."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest

from aifeature.services.execution import calls, ledger
from aifeature.spec import Purpose
from workers.inference import InferenceRequest
from workers.inference.errors import NotPriced

REQUEST = InferenceRequest(uuid4(), model="m", system=(), messages=(), max_tokens=1)


def test_the_bound_is_computed_after_a_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe takes up to ten seconds, in which a higher price may begin."""
    steps = Mock()
    steps.opened.side_effect = NotPriced("no price")
    monkeypatch.setattr(calls, "admit", steps.admit)
    monkeypatch.setattr(ledger, "opened", steps.opened)
    payer: Any = steps.payer
    with pytest.raises(NotPriced):
        calls.make(REQUEST, payer, purpose=Purpose.JUDGE, prompt=None)
    assert [name for name, *_ in steps.mock_calls] == ["admit", "opened", "admit().give_back"]
