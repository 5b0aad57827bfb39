"""Each figure for operators chooses: of users, or of all origins.

Jobs and calls of evaluations would else enter figures about users without notice. The check covers
queries by `objects` and SQL by hand, in the modules that make such figures.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from aifeature.models.job import Jobs
from aifeature.models.ledger import Attempts

ROOT = Path(__file__).resolve().parents[2]
FIGURES = (
    "aifeature/services/alarms",
    "aifeature/services/monitoring",
    "aifeature/services/spend/budgets.py",
    "aifeature/admin/controls",
    "aifeature/admin/monitoring",
    "aifeature/services/feedback/figures.py",
    "aifeature/services/feedback/holdout.py",
    "aifeature/services/feedback/nps.py",
    "project/panel",
    "project/tour",
)
CHOICES = ("of_users", "of_all_origins")
TABLE = re.compile(r"\b(FROM|JOIN)\s+aifeature_(job|attempt)\b")


def files() -> list[Path]:
    places = [ROOT / place for place in FIGURES]
    return [file for place in places for file in (sorted(place.rglob("*.py")) or [place])]


def problems(source: str) -> Iterator[str]:
    """Yield the queries without a choice."""
    tree = ast.parse(source)
    chosen = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in CHOICES
    }
    inner = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr="objects", value=ast.Name(id="Job" | "Attempt" as model)):
                if id(node) not in chosen:
                    yield f"line {node.lineno}: {model}.objects without {' or '.join(CHOICES)}"
            case ast.JoinedStr() | ast.Constant(value=str()) if id(node) not in inner:
                text = ast.unparse(node)
                if TABLE.search(text) and "{OF_USERS}" not in text:
                    yield f"line {node.lineno}: SQL without OF_USERS"


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_each_figure_chooses(file: Path) -> None:
    assert list(problems(file.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "query",
    [
        "Job.objects.filter(pk=1)",
        "Attempt.objects.all()",
        'sql = "SELECT 1 FROM aifeature_job j"',
        'sql = f"SELECT {N} FROM aifeature_attempt a"',
    ],
)
def test_a_query_without_a_choice_is_found(query: str) -> None:
    assert len(list(problems(query))) == 1


def test_both_choices_exist() -> None:
    for rows in (Jobs, Attempts):
        assert all(callable(getattr(rows, choice)) for choice in CHOICES)
