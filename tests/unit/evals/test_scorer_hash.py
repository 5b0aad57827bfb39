"""Runs compare only if all code that decides about an output is the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from aifeature.services.promotion import subjects
from aifeature.services.promotion.subjects import scorer_hash
from aifeature.spec import Feature
from tests.unit.evals.scored import FEATURE


def scoring_with(function: Callable[..., str]) -> Feature:
    assert FEATURE.suite
    suite = FEATURE.suite.model_copy(update={"functions": {"own": function}})
    return FEATURE.model_copy(update={"suite": suite})


def test_the_helpers_of_an_own_scorer_are_in_the_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hash_with(name: str, least: int) -> str:
        lines = (f"least = {least}", "from .helper import least\n\ndef own(*_): return str(least)")
        for file, line in zip(("helper", "scorer"), lines, strict=True):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{file}.py").write_text(line)
        (tmp_path / name / "__init__.py").touch()
        return scorer_hash(scoring_with(import_module(f"{name}.scorer").own))

    monkeypatch.syspath_prepend(tmp_path)
    hashes = [hash_with(*each) for each in (("one", 1), ("again", 1), ("other", 2))]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_check_of_the_feature_is_in_the_hash() -> None:
    def check(_value: Any, output: Any) -> list[str]:
        return [] if output.facts else ["facts: name one"]

    checked = FEATURE.model_copy(update={"check": check})
    assert scorer_hash(checked) != scorer_hash(FEATURE)
    scorer_hash(FEATURE.model_copy(update={"check": partial(check)}))


def test_another_route_leaves_runs_comparable(tmp_path: Path) -> None:
    for name, route in (("a", "haiku"), ("b", "sonnet")):
        (tmp_path / name).mkdir()
        text = f"def check(): ...\n\nFEATURE = Feature(\n    route='{route}',\n)\nONE = 1\n"
        (tmp_path / name / "feature.py").write_text(text)
    assert subjects._hash_of(tmp_path / "a") == subjects._hash_of(tmp_path / "b")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "feature.py").write_text(text.replace("ONE = 1", "ONE = 2"))
    assert subjects._hash_of(tmp_path / "b") != subjects._hash_of(tmp_path / "c")
