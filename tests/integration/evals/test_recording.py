"""Recording evaluates all versions, each against the newest one before it that passed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from aifeature import prompts, registry
from aifeature.models import Evidence
from evals import recorded, recording
from evals.recorded import RecordedError
from tests import proof

pytestmark = pytest.mark.django_db


@pytest.fixture
def failing() -> set[tuple[str, str]]:
    """The versions that do not pass."""
    return set()


@pytest.fixture
def rounds(
    failing: set[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> list[list[tuple[str, str, str | None]]]:
    monkeypatch.setattr(recording, "check", lambda _: [])
    some = {slug: registry.get(slug) for slug in ("answer", "judge", "moderation", "summarize")}
    monkeypatch.setattr(registry, "all_features", lambda: some)
    return []


def record(
    rounds: list[list[tuple[str, str, str | None]]], failing: set[tuple[str, str]]
) -> recorded.Recorded:
    def run(chosen: Sequence[recording.Chosen]) -> None:
        rounds.append([(feature.slug, version, against) for feature, version, against in chosen])
        for feature, version, against in chosen:
            passed = (feature.slug, version) not in failing
            proof.evidence(
                feature.slug,
                version,
                fingerprint=recorded.subject_of(feature, version).fingerprint,
                live_hash=prompts.get(feature.slug, against).hash if against else "",
                account="sandbox key 1",
                passed=passed,
                verdict={"decision": "pass" if passed else "regression", "reasons": ["It is bad."]},
            )

    return recording.record(run)


def test_versions_are_compared_with_the_one_before_that_passed(
    rounds: list[list[tuple[str, str, str | None]]], failing: set[tuple[str, str]]
) -> None:
    failing.add(("summarize", "v2"))
    found = record(rounds, failing)
    assert rounds == [
        [("answer", "v1", None), ("moderation", "v1", None), ("summarize", "v1", None)],
        [("answer", "v2", "v1"), ("summarize", "v2", "v1")],
        [("summarize", "v3", "v1")],
        [("summarize", "v4", "v3")],
    ]
    rows = [(row["feature"], row["version"], row["passed"]) for row in found.rows]
    assert rows == [
        *(("answer", "v1", True), ("answer", "v2", True), ("moderation", "v1", True)),
        *(("summarize", "v1", True), ("summarize", "v2", False)),
        *(("summarize", "v3", True), ("summarize", "v4", True)),
    ]
    same = {(row["account"], row["fresh_until"], row["origin"]) for row in found.rows}
    assert same == {("", None, "recorded")}, "nothing of this machine"
    assert found.sandbox == recorded.sandbox_hash()
    assert recording.exported().rows == [], "it is bound to the file with that hash"
    with pytest.raises(RecordedError, match="has evidence already"):
        record(rounds, failing)


def test_a_code_version_that_fails_ends_it_with_the_reason(
    rounds: list[list[tuple[str, str, str | None]]], failing: set[tuple[str, str]]
) -> None:
    failing.add(("summarize", "v4"))
    with pytest.raises(RecordedError, match=r"summarize v4 does not pass.*It is bad\."):
        record(rounds, failing)


def test_an_internal_feature_must_pass_although_nothing_of_it_becomes_live(
    rounds: list[list[tuple[str, str, str | None]]],
    failing: set[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prompts, "released", lambda slug: {"v1": slug})
    failing.add(("moderation", "v1"))
    with pytest.raises(RecordedError, match=r"moderation v1 does not pass.*It is bad\."):
        record(rounds, failing)


def test_only_the_sandbox_is_recorded(settings: Any) -> None:
    settings.AIFEATURE = {**settings.AIFEATURE, "PROVIDER": "anthropic", "BASE_URL": None}
    with pytest.raises(RecordedError, match="Only evidence of the sandbox"):
        record([], set())
    assert not Evidence.objects.exists()
