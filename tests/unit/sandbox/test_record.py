"""Other threads read the record while calls begin and end."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from workers.sandbox import record as record_module
from workers.sandbox.record import Call, Record

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def a_call(number: int) -> Call:
    return Call(
        request_id=f"req_{number}",
        attempt_id=None,
        path="/v1/messages",
        model=None,
        stream=False,
        prompt_sha256="",
        bytes_received=0,
        started_at=1.0,
    )


def test_a_call_has_ended_when_all_of_it_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "calls.jsonl"
    record, call = Record(10, file), a_call(1)
    record.arrived(call)
    seen: list[Any] = []
    write = os.write

    def look(fd: int, line: bytes) -> int:
        seen.extend(each["ended_at"] for each in record.calls())
        return write(fd, line)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", look)
        record.ended(call, at=5.0)
    assert seen == [None]
    assert [each["ended_at"] for each in record.calls()] == [5.0]
    assert [json.loads(line)["ended_at"] for line in file.read_text().splitlines()] == [None, 5.0]
    record.close()


def test_a_new_call_does_not_disturb_readers_in_other_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = Record(10, None)
    record.arrived(a_call(1))
    record.arrived(a_call(2))

    def look(call: Call) -> dict[str, Any]:
        record._calls["req_3"] = a_call(3)
        return asdict(call)

    monkeypatch.setattr(record_module, "asdict", look)
    assert [each["request_id"] for each in record.calls()] == ["req_1", "req_2"]
