"""Exports are read as they come, and refused with the line and what to do."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from aifeature.services.spend.usage import exports
from aifeature.services.spend.usage.exports import Call, Days, UnreadableError
from workers.inference import TokenUsage

ATTEMPT = "0d8a7d0e-5b0c-4a55-9b1f-2f9f5d3a6c11"
CALL: dict[str, Any] = {
    "event": "ended",
    "request_id": "req_1",
    "attempt_id": ATTEMPT,
    "path": "/v1/messages",
    "model": "claude-haiku-5-5",
    "started_at": 1_795_000_000.25,
    "ended_at": 1_795_000_001.0,
    "usage": {
        "input_tokens": 10,
        "output_tokens": 5,
        "cache_read_input_tokens": 3,
        "cache_creation_input_tokens": 2,
    },
}
RESULT: dict[str, Any] = {
    "model": "claude-haiku-5-5",
    "uncached_input_tokens": 10,
    "output_tokens": 5,
    "cache_read_input_tokens": 3,
    "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 1},
    "server_tool_use": {"web_search_requests": 0},
    "service_tier": None,
}


def bucket(day: int, *results: dict[str, Any], hours: tuple[int, int] = (0, 24)) -> dict[str, Any]:
    begin, end = hours
    until = f"2026-11-{day + end // 24:02}T{end % 24:02}:00:00Z"
    return {
        "starting_at": f"2026-11-{day:02}T{begin:02}:00:00Z",
        "ending_at": until,
        "results": list(results),
    }


def page(*buckets: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"data": list(buckets), "has_more": False, "next_page": None, **values}


def write(folder: Path, *values: Any) -> Path:
    file = folder / "export.jsonl"
    lines = [value if isinstance(value, str) else json.dumps(value) for value in values]
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def calls(file: Path) -> list[Call]:
    found = exports.read(file)
    assert isinstance(found, list)
    return found


def days(file: Path) -> Days:
    found = exports.read(file)
    assert isinstance(found, Days)
    return found


def test_a_call_is_read_with_its_four_kinds_of_tokens(tmp_path: Path) -> None:
    (call,) = calls(write(tmp_path, CALL))
    assert (call.request_id, call.attempt, call.ended) == ("req_1", UUID(ATTEMPT), True)
    assert call.at == datetime.fromtimestamp(1_795_000_000.25, UTC)
    assert call.usage == TokenUsage(10, 5, 3, 2)


def test_the_last_line_of_a_call_holds(tmp_path: Path) -> None:
    arrived = {**CALL, "event": "arrived", "ended_at": None, "usage": None}
    (call,) = calls(write(tmp_path, arrived, CALL))
    assert call.usage is not None
    (call,) = calls(write(tmp_path, arrived))
    assert (call.ended, call.usage) == (False, None)


def test_a_row_without_a_model_call_is_left_out(tmp_path: Path) -> None:
    counted = {**CALL, "request_id": "req_2", "path": "/v1/messages/count_tokens"}
    assert len(calls(write(tmp_path, CALL, "", counted))) == 1


def test_an_attempt_id_of_another_form_is_of_another_application(tmp_path: Path) -> None:
    (call,) = calls(write(tmp_path, {**CALL, "attempt_id": "job-17"}))
    assert call.attempt is None


def test_a_report_is_summed_by_day_and_model(tmp_path: Path) -> None:
    dated = {**RESULT, "model": "claude-haiku-5-5-20260901", "output_tokens": 1}
    found = days(write(tmp_path, page(bucket(3, RESULT, dated), bucket(4))))
    assert (found.first, found.last) == (date(2026, 11, 3), date(2026, 11, 4))
    assert found.sums == {
        (date(2026, 11, 3), "claude-haiku-5-5"): {
            "input_tokens": 20,
            "output_tokens": 6,
            "cache_read_tokens": 6,
            "cache_write_tokens": 6,
        }
    }


def test_pages_may_stand_on_lines_in_a_list_or_be_written_out(tmp_path: Path) -> None:
    one, two = page(bucket(3, RESULT), has_more=True), page(bucket(4, RESULT))
    lines = days(write(tmp_path, one, two))
    listed = days(write(tmp_path, json.dumps([one, two], indent=2)))
    assert lines == listed
    assert len(lines.sums) == 2


def test_hours_add_up_to_days(tmp_path: Path) -> None:
    parts = [bucket(3, RESULT, hours=(hour, hour + 1)) for hour in range(24)]
    found = days(write(tmp_path, page(*parts)))
    assert (found.first, found.last) == (date(2026, 11, 3), date(2026, 11, 3))
    assert found.sums[date(2026, 11, 3), "claude-haiku-5-5"]["input_tokens"] == 240


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([CALL, '{"request_id": "req_'], "line 2: this is no JSON"),
        (["not an export"], "line 1: this is no JSON"),
        (['{\n"data": [\n  broken\n]}'], "line 3: this is no JSON"),
        ([CALL, {**CALL, "request_id": None}], "line 2: request_id: "),
        ([{**CALL, "usage": {"input_tokens": -1}}], "line 1: usage.input_tokens: "),
        ([{**CALL, "usage": {"input_tokens": "many"}}], "line 1: usage.input_tokens: "),
        ([{**CALL, "started_at": "yesterday"}], "line 1: started_at: "),
        ([CALL, [1]], "line 2: it: "),
        ([""], "is empty"),
        ([page(bucket(3, {**RESULT, "model": None}))], "group_by[]=model"),
        ([page(bucket(3, RESULT), has_more=True)], "has_more is true: add the pages"),
        ([page(bucket(3, RESULT), bucket(5, RESULT))], "no bucket begins at 2026-11-04T00:00:00Z"),
        ([page(bucket(3, RESULT), bucket(3, RESULT))], "missing or doubled"),
        ([page(bucket(3, RESULT, hours=(0, 12)))], "export whole UTC days"),
        ([page(bucket(3, {"model": "m"}))], "data.0.results.0.uncached_input_tokens: "),
        ([page()], "holds no bucket"),
    ],
)
def test_an_unreadable_row_is_reported_with_its_line(
    tmp_path: Path, lines: list[Any], told: str
) -> None:
    with pytest.raises(UnreadableError) as raised:
        exports.read(write(tmp_path, *lines))
    assert told in str(raised.value)


def test_a_missing_or_binary_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="cannot be read: No such file"):
        exports.read(tmp_path / "none")
    (tmp_path / "zip").write_bytes(b"PK\xff")
    with pytest.raises(UnreadableError, match="not UTF-8 from byte 2"):
        exports.read(tmp_path / "zip")
