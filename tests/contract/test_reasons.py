"""Python, SQL and the retry decision use the same words for why a job waits or failed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pytest

from aifeature import reasons, sql
from aifeature.models import Status
from aifeature.reasons import FailureCode, WaitReason
from workers import retry

FOLDER = Path(sql.__file__).parent
COLUMN = re.compile(r"\b(?:(wait_reason)|(?:p_)?(error_code))\s*(?:=|<>|IN\b)\s*(.+)")
WORD = re.compile(r"'([a-z_]+)'")
KEYS = {"code", "message", "error_code"}
"""Names within the JSON of an end and of a settlement."""

COMMENT = re.compile(r"--.*")


def words(column: str) -> set[str]:
    """The literals that SQL sets a column of jobs to, or compares it with."""
    return {
        word
        for name, value in _uses()
        if name == column
        for word in WORD.findall(value)
        if word not in Status.values or word == Status.CANCELLED
    } - KEYS


def _uses() -> Iterator[tuple[str, str]]:
    for file in sorted(FOLDER.glob("*.sql")):
        lines = file.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if found := COLUMN.search(COMMENT.sub("", line)):
                # A CASE goes on in the next line.
                following = lines[number + 1] if "CASE" in line and "END" not in line else ""
                yield found[1] or found[2], found[3] + following


@pytest.mark.parametrize(
    ("column", "some", "known"),
    [
        ("wait_reason", {"interrupted", "feature_paused", "provider_limited"}, WaitReason),
        ("error_code", {"cancelled", "deadline_exceeded"}, FailureCode),
    ],
)
def test_sql_uses_no_other_word(column: str, some: set[str], known: type[StrEnum]) -> None:
    found = words(column)
    assert some <= found <= set(known)


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
