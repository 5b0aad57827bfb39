"""Checks of a row in a file of evidence, before it is loaded into a database.

They cover the form, the time and the provider of a row. A verdict is not computed again: that needs
the outcomes of the prompt with which it was compared, and these may be in no file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from django.conf import settings
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from aifeature.services.promotion import evidence
from evals.harness import pools

SANDBOX: Final = "sandbox"

Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Outcomes = tuple[tuple[bool, Number, bool | None], ...]


class _Model(BaseModel):
    """Values of the right type in JSON. Further ones are the matter of a later release."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _Interval(_Model):
    low: Number
    high: Number


class _Arm(_Model):
    rate: Number
    interval: _Interval


class _Verdict(_Model):
    decision: str
    reasons: list[str] = []
    candidate: _Arm | None = None
    floor: Number | None = None
    difference_points: Number | None = None
    difference_interval: _Interval | None = None
    smallest_drop_points: Number | None = None
    floor_rate: Number | None = None


class _Case(_Model):
    hash: str
    group: str
    must: bool
    tags: list[str]
    scored: Outcomes
    fresh: Outcomes


class _Part(_Model):
    run: Annotated[str, Field(min_length=1)]
    at: AwareDatetime
    total: Count
    unscored: Count
    answered_by: list[str]
    first_answers: dict[str, Count]
    cases: dict[str, _Case]


class _Row(_Model):
    id: str
    feature: str
    version: str
    provider: str
    prompt_hash: str
    fingerprint: str
    conditions: dict[str, JsonValue]
    live_hash: str
    passed: bool
    verdict: _Verdict
    outcomes: _Part
    runs: list[str]
    answered_by: list[str]
    account: str
    measured_at: AwareDatetime
    fresh_until: AwareDatetime | None


class RowError(Exception):
    """A row is not loaded. The text is a sentence with the reason."""


def checked(row: Mapping[str, Any], *, is_recorded: bool, now: datetime) -> dict[str, Any]:
    """Return a row for `evidence.load`, fresh for no longer than evidence that is made here.

    Args:
        row: As `evidence.dump` returns it.
        is_recorded: Whether its file has the hash of the sandbox: then its rows may have no age.
        now: The time after which nothing can have been measured.

    Raises:
        RowError: The row is malformed, of the future, or without an age that it needs.
    """
    found = _parsed(row)
    if further := sorted({*row} - {*evidence.FIELDS}):
        raise RowError(f"This release has no field {further[0]!r}.")
    if problem := evidence.contradiction(row):
        raise RowError(problem)
    if max(found.measured_at, found.outcomes.at) > now:
        raise RowError(
            f"It was measured in the future ({max(found.measured_at, found.outcomes.at)}): check"
            " the clocks of both systems."
        )
    if found.fresh_until is None:
        if found.provider != SANDBOX:
            raise RowError(f"Evidence of {found.provider} ages, and this row has no fresh_until.")
        if not is_recorded:
            raise RowError(
                "It has no fresh_until, and the file has no hash of the sandbox to which such"
                " evidence is bound."
            )
        return dict(row)
    latest = found.measured_at + timedelta(days=settings.AIFEATURE["EVIDENCE_DAYS"])
    return {**row, "fresh_until": min(found.fresh_until, latest).isoformat()}


def _parsed(row: Mapping[str, Any]) -> _Row:
    try:
        found = _Row.model_validate_json(json.dumps(row))
        pools.from_json(row["outcomes"])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RowError(f"Its field {place or 'names'} is malformed: {first['msg']}.") from None
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise RowError(f"Its outcomes cannot be read ({error}).") from None
    return found
