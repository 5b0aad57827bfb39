"""`manage.py submit_job` takes the path of the page and the API."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import OperationalError

from aifeature.management.commands import submit_job
from aifeature.models import Job, Status
from aifeature.services.controls import effective
from aifeature.services.execution import job_run
from tests import proof
from tests.sandbox_server import SandboxServer

pytestmark = pytest.mark.usefixtures("committed", "opened", "sandbox")

DOCUMENT = '{"document": "Anna paid 30 dollars. She left."}'
LEGAL = '{"ticket": "Answer by Friday or my lawyer will sue you."}'


@pytest.fixture(autouse=True)
def _a_worker_runs_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(seconds: float) -> None:
        job_run.run_feature(Job.objects.get(status=Status.QUEUED).pk, worker="test")

    monkeypatch.setattr(submit_job.Command, "sleep", staticmethod(run))
    proof.open_to_users("triage")


def submitted(*options: str, feature: str = "summarize", user: str = "ada") -> tuple[Any, str]:
    out, progress = io.StringIO(), io.StringIO()
    call_command(
        "submit_job", feature, "--user", user, *options, stdout=out, stderr=progress, no_color=True
    )
    return json.loads(out.getvalue()), progress.getvalue()


def test_a_job_is_submitted_and_its_answer_printed(ada: User) -> None:
    shown, progress = submitted("--input", DOCUMENT)
    assert shown["status"] == "succeeded"
    assert shown["result"]["summary"]
    assert [line.split(": ")[1] for line in progress.splitlines()] == [
        "accepted",
        "queued.",
        "succeeded.",
    ]
    assert Job.objects.get().user == ada


def test_a_key_makes_one_job_without_a_wait(
    ada: User, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "input.json").write_text(DOCUMENT)
    found = [
        submitted("--no-wait", "--key", "k1", "--input", value)[0]
        for value in (DOCUMENT, f"@{tmp_path / 'input.json'}")
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO(DOCUMENT))
    found.append(submitted("--no-wait", "--key", "k1", "--input", "-")[0])
    assert {each["id"] for each in found} == {str(Job.objects.get().pk)}
    assert {each["status"] for each in found} == {"queued"}


@pytest.mark.parametrize(
    ("feature", "user", "value", "text"),
    [
        ("summarize", "eve", DOCUMENT, "There is no active user named 'eve'."),
        ("summary", "ada", DOCUMENT, "not_found: There is no such feature."),
        ("summarize", "ada", "Anna paid.", "--input is not valid JSON"),
        ("summarize", "ada", "@nowhere.json", "The input cannot be read"),
        ("summarize", "ada", '{"text": "Hi."}', "document: Field required"),
        ("triage", "ada", LEGAL, "A person has to decide about this answer by"),
    ],
)
def test_an_end_without_an_answer_is_an_error(
    ada: User, feature: str, user: str, value: str, text: str
) -> None:
    with pytest.raises(CommandError, match=text):
        submitted("--input", value, feature=feature, user=user)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--key", "k" * 201), "--key takes 1 to 200 characters"),
        (("--key", "\udcff"), r"'\\udcff' holds characters that cannot be stored"),
    ],
)
def test_a_key_that_cannot_be_stored_is_refused(
    ada: User, options: tuple[str, str], text: str
) -> None:
    with pytest.raises(CommandError, match=text):
        submitted("--input", DOCUMENT, *options)
    assert not Job.objects.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OperationalError("gone")])
def test_a_job_goes_on_if_its_command_no_longer_waits(
    ada: User, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def stopped(_seconds: float) -> None:
        raise error

    monkeypatch.setattr(submit_job.Command, "sleep", staticmethod(stopped))
    with pytest.raises(CommandError, match=r"The job [-0-9a-f]+ goes on"):
        submitted("--input", DOCUMENT)
    assert Job.objects.get().status == Status.QUEUED


def test_a_switch_stops_the_command_as_well(ada: User) -> None:
    effective.change("summarize", {"killed": True}, reason="test", check_name="test")
    with pytest.raises(CommandError, match=r"feature_paused: .*\nTry again in 60 s"):
        submitted("--input", DOCUMENT)


def test_a_job_that_fails_ends_with_its_sentence(ada: User, sandbox: SandboxServer) -> None:
    sandbox.set_faults({"kind": "refusal"})
    with pytest.raises(CommandError, match="declined to answer"):
        submitted("--input", DOCUMENT)
