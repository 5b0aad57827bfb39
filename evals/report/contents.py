"""The texts of the cases, which the browser unpacks when the page opens."""

from __future__ import annotations

import base64
import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aifeature.suites import Case
from evals.models import Sample


@dataclass(slots=True)
class _Table:
    """Values that many samples share, each stored once."""

    values: list[Any] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)

    def number(self, value: Any) -> int:
        """Return the place of a value in the table."""
        key = json.dumps(value, sort_keys=True)
        if key not in self._numbers:
            self._numbers[key] = len(self.values)
            self.values.append(value)
        return self._numbers[key]


def pack(cases: Sequence[Case], samples: Iterable[Sample]) -> str:
    """Return inputs, expectations and repeats as JSON, compressed by gzip, in base64.

    Held-out cases are left out: authors of prompts read these reports.
    """
    text = json.dumps(contents(cases, samples), ensure_ascii=False, separators=(",", ":"))
    # A lone surrogate is no text. JSON can hold it, and UTF-8 cannot.
    data = text.encode("utf-8", errors="backslashreplace")
    return base64.b64encode(gzip.compress(data, compresslevel=6, mtime=0)).decode()


def contents(cases: Sequence[Case], samples: Iterable[Sample]) -> dict[str, Any]:
    """Return the texts by case. Samples hold numbers of `outputs` and `parts`."""
    outputs, parts = _Table(), _Table()
    shown = {case.id: case for case in cases if not case.held_out}
    repeats: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for sample in sorted(samples, key=lambda each: each.repeat):
        if sample.case in shown:
            repeats[sample.case][sample.arm].append(_sample(sample, outputs, parts))
    return {
        "outputs": outputs.values,
        "parts": parts.values,
        "cases": {
            case.id: {
                "input": case.input,
                "expected": case.expected.model_dump(mode="json", exclude_defaults=True),
                "group": case.group,
                "note": case.note,
                "arms": repeats[case.id],
            }
            for case in shown.values()
        },
    }


def _sample(sample: Sample, outputs: _Table, parts: _Table) -> dict[str, Any]:
    """Return a sample without the fields that are empty."""
    found = {
        "output": None if sample.output is None else outputs.number(sample.output),
        "parts": [parts.number(part) for part in sample.parts],
        "judgement": sample.judgement,
        "score": sample.score,
        "problem": sample.problem,
        "model": sample.model,
        "cost": sample.cost_micro,
        "latency": sample.latency_ms,
        "attempts": sample.attempts,
    }
    kept = {name: value for name, value in found.items() if value not in (None, "", [])}
    return {"repeat": sample.repeat, "state": sample.state, "passed": sample.passed, **kept}
