"""The export holds all data of a person, and none of other users."""

from __future__ import annotations

import io
import json
import stat
import tracemalloc
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from aifeature.models import Alert, AlertChannel, ApiToken, Job
from aifeature.services.alerting import alerts, handling
from aifeature.services.channels import register
from aifeature.services.privacy import export
from tests.integration.privacy.personal_data.conftest import NAME, PERSONAL, SAID
from tests.integration.privacy.personal_data.erasing import lines_with
from tests.integration.privacy.retention.conftest import EndedJob, call

pytestmark = pytest.mark.slow


def exported(name: str = NAME) -> dict[str, Any]:
    out = io.StringIO()
    call_command("export_user", name, stdout=out)
    connection.close()
    document: dict[str, Any] = json.loads(out.getvalue())
    return document


def test_it_holds_everything_that_is_stored(full_life: User) -> None:
    found = exported()
    text = json.dumps(found)
    for word in PERSONAL:
        assert word.lower() in text.lower(), word
    assert found["account"]["username"] == NAME
    assert found["account"]["groups"] == ["on-call"]
    first, second = found["jobs"]
    assert first["created_at"] < second["created_at"]
    assert [len(job["calls"]) for job in (first, second)] == [1, 2]
    assert second["result"]["summary"]
    assert second["charge_micro"] == 42
    assert second["calls"][0]["request"]["messages"]
    assert [len(found[part]) for part in ("sessions", "sign_ins", "changes_made")] == [1, 6, 1]
    assert found["invited_to"] == ["summarize"]
    assert [row["feature"] for row in found["betas_joined"]] == ["summarize"]
    assert [row["reason"] for row in found["blocks"]] == [f"About {SAID}."]
    assert [row["reason"] for row in found["blocks_made"]] == ["Busy."]
    assert "bob" not in json.dumps(found["blocks_made"])
    assert [row["reason"] for row in found["rate_overrides"]] == [f"About {SAID}."]
    assert [row["reason"] for row in found["rate_overrides_made"]] == ["Busy."]
    assert "bob" not in json.dumps(found["rate_overrides_made"])
    events = [row["evidence"] for row in found["guard_events"]]
    assert events == [SAID, export.NOT_SHOWN], "words of an answer are left out"
    assert [row["comment"] for row in found["feedback"]] == [f"It says {SAID}."]
    assert [row["score"] for row in found["nps_answers"]] == [9]
    assert [row["note"] for row in found["launches_announced"]] == ["Spring."]
    assert [row["reason"] for row in found["ramps_started"]] == ["Summer."]
    assert len(found["admin_log_about_you"]) == 2
    assert len(found["charges_by_day"]) == 2


def test_settlements_are_exported_without_content(ada: User, bob: User, ended: EndedJob) -> None:
    job = ended(days_ago=1, user=bob)
    row = call(job, settled_by=ada, settled_reason="Looked up.", settled_at=timezone.now())
    LogEntry.objects.log_actions(ada.pk, [row], CHANGE, "Settled.", single_object=True)
    found = exported()
    (settled,) = found["calls_settled_by_you"]
    assert (settled["id"], settled["reason"]) == (str(row.pk), "Looked up.")
    assert SAID not in json.dumps(found)
    assert len(found["admin_log_by_you"]) == 1
    (about,) = exported("bob")["admin_log_about_your_jobs"]
    assert about["object_id"] == str(row.pk)


def test_every_column_of_a_job_and_of_a_call_is_in_it(full_life: User) -> None:
    job = exported()["jobs"][0]
    assert set(job) == {field.name for field in Job._meta.concrete_fields} | {"calls"}
    assert {"output", "error_detail", "cost_micro", "state"} <= set(job["calls"][0])


def test_no_secret_and_nothing_of_others_is_in_it(full_life: User, bob: User) -> None:
    text = json.dumps(exported())
    token = ApiToken.objects.get()
    for secret in (token.digest, full_life.password):
        assert secret not in text
    assert "laptop of Ada" in text
    assert str(Job.objects.get(user=bob).pk) not in text
    assert bob.email not in text


def test_after_an_erasure_there_is_only_a_shell(full_life: User) -> None:
    call_command("erase_user", NAME, "--yes", "--reason", "Case 1.", stdout=io.StringIO())
    assert not [word for word in PERSONAL if word in json.dumps(exported(f"erased-{full_life.pk}"))]
    assert lines_with("bob")


def test_an_unknown_name_is_an_error(ada: User) -> None:
    with pytest.raises(CommandError, match="no user named 'nobody'"):
        exported("nobody")


def test_a_person_without_anything_has_a_document_too(ada: User) -> None:
    found = exported()
    assert found["jobs"] == found["api_tokens"] == []


def test_the_file_is_for_its_owner_alone_and_never_written_over(ada: User, tmp_path: Path) -> None:
    file = tmp_path / "ada.json"
    call_command("export_user", NAME, "--output", str(file), stdout=io.StringIO())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["account"]["username"] == NAME
    with pytest.raises(CommandError, match="exists: name another file"):
        call_command("export_user", NAME, "--output", str(file))


def test_a_partial_file_is_deleted(
    full_life: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "_text", full_disk)
    file = tmp_path / "ada.json"
    with pytest.raises(CommandError, match="No space left on device"):
        call_command("export_user", NAME, "--output", str(file))
    assert not file.exists()


def test_a_missing_folder_is_an_error(ada: User, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file or directory"):
        call_command("export_user", NAME, "--output", str(tmp_path / "no" / "ada.json"))


def test_it_streams(ada: User, ended: EndedJob) -> None:
    """Twenty-four megabytes of documents, a few at a time."""
    for _ in range(160):
        ended(days_ago=1, input={"document": "x" * 150_000})
    tracemalloc.start()
    try:
        written = sum(len(piece) for piece in export.document(ada))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        connection.close()
    assert written > 24_000_000
    assert peak < written / 2


def test_alerts_that_a_person_handled_are_in_it_and_no_address_of_a_channel(ada: User) -> None:
    alerts.begin("drift", "windows", "Off.")
    alert = Alert.objects.get()
    handling.acknowledge(alert.pk, user_id=ada.pk)
    end = timezone.now() + timedelta(hours=1)
    handling.silence(alert.pk, end, reason="Known.", user_id=ada.pk)
    register.add(
        name="pager",
        kind="webhook",
        address="https://hooks.example/hidden",
        is_escalation=False,
        reason="r",
        user_id=ada.pk,
    )
    found = exported()
    assert [row["kind"] for row in found["alerts_handled"]] == ["drift"]
    assert [row["reason"] for row in found["silences_made"]] == ["Known."]
    assert [row["name"] for row in found["alert_channels_added"]] == ["pager"]
    encrypted = AlertChannel.objects.get().address
    assert not [each for each in ("hooks.example", encrypted) if each in json.dumps(found)]
