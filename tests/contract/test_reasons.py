"""Python, SQL and the retry decision use the same words for why a job waits or failed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path

import pytest

from aifeature import reasons, sql
from aifeature.models import Status
from aifeature.reasons import FailureCode, WaitReason
from workers import retry

FOLDER = Path(sql.__file__).parent
COLUMN = re.compile(
    r"\b(?:(wait_reason)|(?:p_)?(error_code))\s*(?:=|<>|!=|IN\b|IS (?:NOT )?DISTINCT FROM\b)\s*(.+)"
)
ELSE_COLUMN = re.compile(r"THEN\s+('\w+')\s+ELSE\s+\w+\.(wait_reason|error_code)\b")
"""A word that takes the place of a column."""

FINISH = re.compile(r"RETURN aif_finish\((?:[^,]+,){4}\s*('\w+')")
"""The fifth argument is the code of the failure."""

WORD = re.compile(r"'([a-z_]+)'")
KEYS = {"code", "message", "error_code"}
"""Names within the JSON of an end and of a settlement."""

COMMENT = re.compile(r"--.*")


def words(column: str, texts: Iterable[str]) -> set[str]:
    """Return the literals that SQL sets a column of jobs to, or compares it with."""
    return {
        word
        for text in texts
        for name, value in _uses(COMMENT.sub("", text))
        if name == column
        for word in WORD.findall(value)
        if word not in Status.values or word == Status.CANCELLED
    } - KEYS


def _uses(text: str) -> Iterator[tuple[str, str]]:
    yield from ((name, value) for value, name in ELSE_COLUMN.findall(text))
    yield from (("error_code", value) for value in FINISH.findall(text))
    lines = text.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if found := COLUMN.search(line):
            # A CASE continues in the next line.
            more = following if "CASE" in line and "END" not in line else ""
            yield found[1] or found[2], found[3] + more


def files() -> list[str]:
    return [file.read_text(encoding="utf-8") for file in sorted(FOLDER.glob("*.sql"))]


@pytest.mark.parametrize(
    ("column", "some", "known"),
    [
        ("wait_reason", {"interrupted", "feature_paused", "provider_limited"}, WaitReason),
        ("error_code", {"cancelled", "deadline_exceeded"}, FailureCode),
    ],
)
def test_sql_uses_no_other_word(column: str, some: set[str], known: type[StrEnum]) -> None:
    found = words(column, files())
    assert some <= found <= set(known)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("wait_reason = 'interrupted'", "wait_reason = 'stopped'"),
        ("wait_reason <> 'feature_paused'", "wait_reason != 'stopped'"),
        ("wait_reason <> 'feature_paused'", "wait_reason IS NOT DISTINCT FROM 'stopped'"),
        ("THEN 'feature_paused' ELSE", "THEN 'stopped' ELSE"),
        ("NULL, 'cancelled', NULL", "NULL, 'stopped', NULL"),
    ],
)
def test_another_word_is_found(right: str, wrong: str) -> None:
    texts = files()
    assert any(right in text for text in texts)
    found = [
        words(column, [text.replace(right, wrong) for text in texts])
        for column in ("wait_reason", "error_code")
    ]
    assert "stopped" in set().union(*found)


def test_the_retry_decision_gives_up_with_a_known_failure() -> None:
    source = ast.parse(Path(retry.__file__).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(source) if isinstance(node, ast.Call)]
    found = {
        argument.value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "GiveUp"
        for argument in call.args
        if isinstance(argument, ast.Constant)
    }
    assert found
    assert found <= set(FailureCode)


def test_a_deadline_ends_each_wait_with_a_known_failure() -> None:
    assert set(reasons.AFTER_WAITING) <= set(WaitReason)
    assert reasons.after_waiting("") is FailureCode.DEADLINE_EXCEEDED
