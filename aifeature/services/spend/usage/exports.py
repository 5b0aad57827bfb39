"""Parsers for exports of the provider: single calls as JSON lines, or sums by day and model.

Single calls have the format of the sandbox provider's `--record`. If two lines have the same
request id, the later one counts. Sums come from the provider's Admin API,
`GET /v1/organizations/usage_report/messages` with `group_by[]=model`: one response, or one page on
each line. Field names follow the API reference of November 2026.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, NonNegativeInt, ValidationError

from workers.inference import TokenUsage, catalog

KINDS: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")

_DATED: Final = re.compile(r"-[0-9]{8}$")
_MESSAGES: Final = "/v1/messages"


class UnreadableError(Exception):
    """The file is not a supported export. The message names the line and the next step."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call in the provider's record."""

    request_id: str
    attempt: UUID | None
    """From our header; None if the request had none."""

    model: str
    at: datetime
    ended: bool
    usage: TokenUsage | None
    """The billed usage; None if nothing is billed, or if it is unknown until the call ends."""


@dataclass(frozen=True, slots=True)
class Days:
    """Tokens by UTC day and model. The days are whole and without a gap."""

    first: date
    last: date
    sums: dict[tuple[date, str], Counter[str]] = field(default_factory=dict)


class _Usage(BaseModel):
    input_tokens: NonNegativeInt = 0
    output_tokens: NonNegativeInt = 0
    cache_read_input_tokens: NonNegativeInt = 0
    cache_creation_input_tokens: NonNegativeInt = 0

    def billed(self) -> TokenUsage:
        return TokenUsage(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cache_read_tokens=self.cache_read_input_tokens,
            cache_write_tokens=self.cache_creation_input_tokens,
        )


class _Line(BaseModel):
    request_id: str = Field(min_length=1)
    attempt_id: str | None = None
    path: str = _MESSAGES
    model: str | None = None
    started_at: float = Field(ge=0, lt=2**33)
    ended_at: float | None = None
    usage: _Usage | None = None
    billed: _Usage | None = None
    """Null if the reported `usage` is not billed, as for a refusal without output."""

    def bill(self) -> TokenUsage | None:
        unbilled = "billed" in self.model_fields_set and self.billed is None
        return None if unbilled or self.usage is None else self.usage.billed()


class _CacheCreation(BaseModel):
    ephemeral_5m_input_tokens: NonNegativeInt = 0
    ephemeral_1h_input_tokens: NonNegativeInt = 0


class _Result(BaseModel):
    model: str | None
    uncached_input_tokens: NonNegativeInt
    output_tokens: NonNegativeInt
    cache_read_input_tokens: NonNegativeInt = 0
    cache_creation: _CacheCreation = _CacheCreation()


class _Bucket(BaseModel):
    starting_at: AwareDatetime
    ending_at: AwareDatetime
    results: list[_Result]


class _Page(BaseModel):
    data: list[_Bucket]
    has_more: bool = False


def read(file: Path) -> list[Call] | Days:
    """Return the file's calls, in the order of their first lines, or its sums.

    Raises:
        UnreadableError: The file holds neither, or an invalid value.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UnreadableError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise UnreadableError(f"{file} is not UTF-8 from byte {error.start} on.") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise UnreadableError(f"{file} is empty. Export it again.")
    parsed = _parsed(file, text, lines)
    if any(isinstance(value, dict) and "data" in value for _, value in parsed):
        return _days(file, parsed)
    return _calls(file, parsed)


def _parsed(file: Path, text: str, lines: list[tuple[int, str]]) -> list[tuple[int, Any]]:
    """Return the JSON values with their line numbers: one value, or one on each line."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if not _is_json(lines[0][1]):
            raise _unreadable(file, error.lineno, f"this is no JSON ({error.msg})") from None
        return list(_each(file, lines))
    return [(1, page) for page in (value if isinstance(value, list) else [value])]


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _each(file: Path, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, Any]]:
    for number, line in lines:
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            raise _unreadable(file, number, f"this is no JSON ({error.msg})") from None


def _calls(file: Path, parsed: Iterable[tuple[int, Any]]) -> list[Call]:
    calls: dict[str, Call] = {}
    for number, value in parsed:
        line: _Line = _checked(_Line, file, number, value)
        if line.path == _MESSAGES and line.model is not None:
            calls[line.request_id] = _call(line, line.model)
    return list(calls.values())


def _call(line: _Line, model: str) -> Call:
    return Call(
        request_id=line.request_id,
        attempt=_uuid(line.attempt_id),
        model=_model_id(model),
        at=datetime.fromtimestamp(line.started_at, UTC),
        ended=line.ended_at is not None,
        usage=line.bill(),
    )


def _days(file: Path, parsed: Iterable[tuple[int, Any]]) -> Days:
    pages = [(number, _checked(_Page, file, number, value)) for number, value in parsed]
    last_line, last = pages[-1]
    if last.has_more:
        raise _unreadable(
            file,
            last_line,
            "has_more is true: add the pages that follow, or export a shorter period",
        )
    buckets = sorted(
        ((bucket, number) for number, page in pages for bucket in page.data),
        key=lambda each: each[0].starting_at,
    )
    if not buckets:
        raise UnreadableError(f"{file} holds no bucket. Export at least one whole UTC day.")
    sums: dict[tuple[date, str], Counter[str]] = {}
    expected = buckets[0][0].starting_at
    for bucket, number in buckets:
        if bucket.starting_at != expected:
            raise _unreadable(
                file,
                number,
                f"no bucket begins at {expected:%Y-%m-%dT%H:%M:%SZ}, so"
                " a period is missing or doubled: export it again",
            )
        expected = bucket.ending_at
        for result in bucket.results:
            if result.model is None:
                raise _unreadable(
                    file, number, "a result names no model: export it again with group_by[]=model"
                )
            day = bucket.starting_at.astimezone(UTC).date()
            sums.setdefault((day, _model_id(result.model)), Counter()).update(_tokens(result))
    first, end = (edge.astimezone(UTC) for edge in (buckets[0][0].starting_at, expected))
    if {first.time(), end.time()} != {time()}:
        raise UnreadableError(
            f"{file} begins at {first} and ends at {end}: export whole UTC days,"
            " with bucket_width=1d"
        )
    return Days(first.date(), end.date() - timedelta(days=1), sums)


def _tokens(result: _Result) -> dict[str, int]:
    written = result.cache_creation
    return {
        "input_tokens": result.uncached_input_tokens,
        "output_tokens": result.output_tokens,
        "cache_read_tokens": result.cache_read_input_tokens,
        "cache_write_tokens": written.ephemeral_5m_input_tokens + written.ephemeral_1h_input_tokens,
    }


def _model_id(model: str) -> str:
    """Return our id of a model. The provider's may end with a release date."""
    short = _DATED.sub("", model)
    return short if short in catalog.known_models() else model


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


def _checked(model: type[Any], file: Path, number: int, value: Any) -> Any:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, problem["loc"])) or "it"
        raise _unreadable(file, number, f"{place}: {problem['msg']}") from None


def _unreadable(file: Path, number: int, what: str) -> UnreadableError:
    return UnreadableError(f"{file}, line {number}: {what}. Fix this line or export it again.")
