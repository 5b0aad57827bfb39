"""The local stack loads evidence and opens its features. The decision of a person stays."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone

from aifeature import prompts, registry, suites
from aifeature.models import Evidence, FeatureControl, Stage
from aifeature.services import controls
from aifeature.services.promotion import activations, evidence, gate_check, local_stack, subjects
from evals import recorded
from evals.recorded import Recorded
from project import boot, local_features
from tests import proof

SUMMARIZE = registry.get("summarize")
SLUG = "summarize"
CASE = {"hash": "0", "group": "a", "must": False, "tags": [], "scored": [[True, 1, None]]} | {
    "fresh": []
}

pytestmark = pytest.mark.django_db


def row(version: str = SUMMARIZE.prompt_version, **values: Any) -> dict[str, Any]:
    """Evidence of today as `evidence.dump` returns it, which is not in this database."""
    subject = subjects.of(SUMMARIZE, version)
    stored = {
        "id": f"00000000-0000-4000-8000-00000000000{version[1:]}",
        "feature": SLUG,
        "version": version,
        "provider": subject.conditions.provider,
        "prompt_hash": subject.prompt_hash,
        "fingerprint": subject.fingerprint,
        "conditions": subjects.as_json(subject.conditions),
        "live_hash": "",
        "passed": True,
        "verdict": {"decision": "pass"},
        "outcomes": {
            "run": "1a2b",
            "at": proof.MEASURED_AT.isoformat(),
            "total": 1,
            "unscored": 0,
            "answered_by": [],
            "first_answers": {},
            "cases": {"a": CASE},
        },
        "runs": [],
        "answered_by": [],
        "account": "",
        "origin": "recorded",
        "measured_at": proof.MEASURED_AT.isoformat(),
        "fresh_until": None,
    }
    return {**stored, **values}


def aged(at: datetime, *, days: int = 30) -> dict[str, Any]:
    """Return the values of a row that was measured then."""
    until = at + timedelta(days=days)
    return {"measured_at": at.isoformat(), "fresh_until": until.isoformat()}


def stages() -> dict[str, Stage]:
    controls.clear_cache()
    return {slug: controls.stage(each) for slug, each in registry.offered().items()}


@pytest.fixture(autouse=True)
def _each_suite_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "load", lambda feature: _suite(feature.slug))


_load = suites.load


@cache
def _suite(slug: str) -> suites.Suite:
    return _load(registry.get(slug))


@pytest.fixture
def demo(db: None) -> User:
    return User.objects.create_user("demo", email=f"demo{local_features.DOMAIN}")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recorded evidence: a passing row of one feature."""
    path = tmp_path / "sandbox.json"
    path.write_text(recorded.text(Recorded([row()], recorded.sandbox_hash())))
    monkeypatch.setattr(recorded, "FILE", path)
    return path


def test_a_new_stack_opens_what_has_evidence_and_names_the_rest(file: Path) -> None:
    notes = [*local_features.update()]
    assert stages() == {**dict.fromkeys(registry.offered(), Stage.STAFF), SLUG: Stage.EVERYONE}
    assert Evidence.objects.get().origin == Evidence.Origin.RECORDED
    assert len(notes) == len(registry.offered()), "the rest, and moderation"
    assert "triage: staff only. triage v2 has no evidence with sandbox." in "\n".join(notes)
    assert "Evaluate it: python -m evals run triage --prompt v2" in "\n".join(notes)
    again = [*local_features.update()]
    assert (again, Evidence.objects.count()) == (notes, 1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (recorded.text(Recorded([], "another sandbox")), "code of the sandbox has changed"),
        ("{", "is no JSON"),
    ],
)
def test_evidence_that_cannot_be_used_is_named_and_opens_nothing(
    file: Path, content: str, words: str
) -> None:
    file.write_text(content)
    notes = [*local_features.update()]
    assert notes[0].startswith("Evidence is not loaded. ")
    assert words in notes[0]
    assert set(stages().values()) == {Stage.STAFF}


def test_the_decision_of_a_person_stays(file: Path, demo: User) -> None:
    """A floor's row in the audit log is no decision of a person."""
    controls.floors.in_force(SUMMARIZE, "sandbox")
    for stage in (Stage.STAFF, Stage.OFF):
        controls.change("triage", {"stage": stage}, reason="r", user_id=demo.pk)
    [*local_features.update()]
    assert (stages()[SLUG], stages()["triage"]) == (Stage.EVERYONE, Stage.OFF)
    controls.change(SLUG, {"stage": Stage.BETA}, reason="r", user_id=demo.pk)
    local_stack.open_features()
    assert stages()[SLUG] == Stage.BETA


def test_a_rolled_back_prompt_does_not_return_with_the_next_start(file: Path, demo: User) -> None:
    proof.evidence(SLUG, "v1")
    [*local_features.update()]
    activations.roll_back(SLUG, reason="r", user_id=demo.pk)
    local_stack.open_features()
    assert controls.live_version(SUMMARIZE) == "v1"


def test_an_edited_prompt_serves_staff_only_until_it_has_evidence(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [*local_features.update()]
    real = prompts.get

    def edited(slug: str, version: str) -> prompts.Prompt:
        found = real(slug, version)
        return replace(found, hash="e" * 64) if slug == SLUG else found

    monkeypatch.setattr(prompts, "get", edited)
    notes = "\n".join(local_features.update())
    assert "summarize: staff only. summarize v4 has no evidence" in notes
    assert FeatureControl.objects.get(feature=SLUG).stage == Stage.STAFF
    proof.evidence(SLUG, fingerprint=subjects.of(SUMMARIZE, "v4").fingerprint)
    proof.evidence("moderation")
    assert "summarize" not in "\n".join(local_features.update())
    assert stages()[SLUG] == Stage.EVERYONE


def test_operators_open_features_in_a_database_with_real_users(file: Path, ada: User) -> None:
    [*local_features.update()]
    assert stages()[SLUG] != Stage.EVERYONE
    ada.delete()
    User.objects.create_user("aifeature-evaluations")
    [*local_features.update()]
    assert stages()[SLUG] == Stage.EVERYONE, "the account of evaluations is nobody's"


def test_with_a_real_key_the_price_of_evidence_is_named(
    file: Path, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_features, "LIVE_EVIDENCE", tmp_path / "live.json")
    settings.AIFEATURE = {**settings.AIFEATURE, "PROVIDER": "anthropic", "BASE_URL": None}
    notes = [*local_features.update()]
    assert Evidence.objects.count() == 0, "the sandbox proves nothing for a model"
    (line,) = [each for each in notes if each.startswith("summarize: ")]
    start, price = line.split("$")
    assert start == "summarize: staff only until `make evals-live` has run (about "
    assert 0.1 < float(price.rstrip(")")) < 100

    live = Recorded([row(**aged(timezone.now()))])
    (tmp_path / "live.json").write_text(recorded.text(live))
    assert not [each for each in local_features.update() if each.startswith("summarize: ")]
    assert stages()[SLUG] == Stage.EVERYONE


def loaded(file: Path, capsys: pytest.CaptureFixture[str]) -> str:
    call_command("load_evidence", str(file))
    return capsys.readouterr().out


def test_a_file_is_loaded_once_and_what_it_permits_is_printed(
    file: Path, ada: User, capsys: pytest.CaptureFixture[str]
) -> None:
    """In production a person activates it: `ada` is a real user."""
    file.write_text(recorded.text(Recorded([row(**aged(timezone.now(), days=900))])))
    shown = loaded(file, capsys)
    assert "New rows of evidence: 1." in shown
    assert "summarize v4 may be activated: manage.py prompts activate summarize v4" in shown
    assert "triage: staff only, as before. triage v2 has no evidence" in shown
    stored = Evidence.objects.get()
    assert stored.origin == Evidence.Origin.LOADED
    assert stored.fresh_until == stored.measured_at + timedelta(days=30), "as if made here"
    assert "New rows of evidence: 0." in loaded(file, capsys)
    ada.delete()
    assert "summarize v4 is live now." in loaded(file, capsys)
    assert "summarize v4 is live, as before." in loaded(file, capsys)


def test_an_older_measurement_does_not_replace_a_newer_one(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subject = subjects.of(SUMMARIZE, "v4")
    later = proof.MEASURED_AT + timedelta(hours=1)
    failed: dict[str, Any] = {"passed": False, "verdict": {"decision": "regression"}}
    proof.evidence(SLUG, fingerprint=subject.fingerprint, measured_at=later, **failed)
    assert "New rows of evidence: 0." in loaded(file, capsys)


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        ({"prompt_hash": "0" * 64}, "fingerprint"),
        ({"passed": False}, "contradicts its own verdict"),
        ({"passed": 1}, "passed is malformed"),
        ({"measured_at": ""}, "measured_at is malformed"),
        (aged(datetime(2999, 1, 1, tzinfo=UTC)), "in the future"),
        ({"outcomes": {}}, "outcomes.run is malformed"),
        ({"runs": "abc"}, "runs is malformed"),
        ({"answered_by": [1, None]}, "answered_by.0 is malformed"),
        ({"verdict": {"decision": "pass", "candidate": {}}}, "candidate.rate is malformed"),
        ({"verdict": {"decision": "pass", "x": float("nan")}}, "json"),
        ({"account": "\0"}, "NUL"),
        ({"version": "v" * 99}, "at most 16"),
        ({"id": "1"}, "UUID"),
        ({"further": 1}, "no field 'further'"),
    ],
)
def test_a_file_with_an_edited_row_is_refused_whole(
    file: Path, edit: dict[str, Any], why: str
) -> None:
    file.write_text(
        recorded.text(Recorded([row("v1"), {**row(), **edit}], recorded.sandbox_hash()))
    )
    with pytest.raises(CommandError, match="edited or is damaged") as refused:
        call_command("load_evidence", str(file))
    assert f"{file} " in str(refused.value)
    assert "row 2 (summarize v" in str(refused.value)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not Evidence.objects.exists()


def test_only_the_sandbox_has_evidence_without_an_age_and_only_with_its_hash(file: Path) -> None:
    file.write_text(recorded.text(Recorded([row()])))
    with pytest.raises(CommandError, match="no hash of the sandbox"):
        call_command("load_evidence", str(file))
    subject = subjects.of(SUMMARIZE, "v4")
    other = replace(subject, conditions=replace(subject.conditions, provider="anthropic"))
    values: dict[str, Any] = {
        "provider": "anthropic",
        "conditions": subjects.as_json(other.conditions),
        "fingerprint": other.fingerprint,
    }
    file.write_text(recorded.text(Recorded([row(**values)], recorded.sandbox_hash())))
    with pytest.raises(CommandError, match="Evidence of anthropic ages"):
        call_command("load_evidence", str(file))
    assert not Evidence.objects.exists()


def test_dumped_evidence_can_be_loaded() -> None:
    proof.evidence(SLUG, **{k: row()[k] for k in ("fingerprint", "conditions")})
    dumped = json.loads(json.dumps(evidence.dump(Evidence.objects.all())))
    dumped[0]["id"] = row()["id"]
    assert evidence.load(dumped, origin=Evidence.Origin.LOADED) == 1
    first, second = evidence.dump(Evidence.objects.order_by("created_at"))
    assert {**second, "id": first["id"], "origin": first["origin"]} == first


def test_a_process_warns_at_boot_of_open_features_that_serve_staff_only(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof.open_to_users(SLUG)
    proof.open_to_users("triage")
    proof.evidence("moderation")
    assert gate_check.at_boot() == []
    monkeypatch.setattr(controls.live, "has", lambda _feature, _prompt: False)  # a deploy
    with caplog.at_level(logging.WARNING):
        assert boot.is_fit(boot.warnings(gate_check.at_boot))
    assert ["serves staff only" in each.message for each in caplog.records] == [True, True]


def test_a_boot_without_a_database_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def away() -> list[str]:
        raise OperationalError("away")

    assert boot.is_fit(boot.warnings(away))
    assert "cannot be read yet" in caplog.text
