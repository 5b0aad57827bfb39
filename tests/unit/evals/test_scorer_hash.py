"""Runs compare only if all code that decides about an output is the same."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from aifeature.spec import Feature
from evals.harness.plan import scorer_hash
from tests.unit.evals.scored import FEATURE


def scoring_with(function: Callable[..., str]) -> Feature:
    assert FEATURE.suite
    suite = FEATURE.suite.model_copy(update={"functions": {"own": function}})
    return FEATURE.model_copy(update={"suite": suite})


def test_the_helpers_of_an_own_scorer_are_in_the_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hash_with(name: str, least: int) -> str:
        lines = (f"def least(): return {least}", "def own(*_): return '' if least() else 'few'")
        (tmp_path / f"{name}.py").write_text("\n".join(lines))
        return scorer_hash(scoring_with(import_module(name).own))

    monkeypatch.syspath_prepend(tmp_path)
    assert (
        hash_with("scorer_one", 1) == hash_with("scorer_again", 1) != hash_with("scorer_other", 2)
    )


def test_the_check_of_the_feature_is_in_the_hash() -> None:
    def check(_value: Any, output: Any) -> list[str]:
        return [] if output.facts else ["facts: name one"]

    checked = FEATURE.model_copy(update={"check": check})
    assert scorer_hash(checked) != scorer_hash(FEATURE)
