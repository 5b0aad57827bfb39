"""No failure puts text of users or models into logs, reports or task events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.test import Client

from aifeature.models import Job
from aifeature.services.execution import job_run, output
from project import scrubbing, task_events
from project.celery import app
from tests.canaries import CANARY, KINDS, every_kind, is_clean, raised
from tests.integration.execution.conftest import refusing
from tests.integration.job_rows import MakeJob
from tests.kept_reports import Kept, kept_reports
from tests.sandbox_server import SandboxServer

pytestmark = pytest.mark.slow

Make = Callable[..., Job]

WORD = CANARY.split(maxsplit=1)[0]


@pytest.fixture
def reports() -> Iterator[Kept]:
    with kept_reports() as kept:
        yield kept


def _ask(query: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(query, values)


def _twice(make: Make) -> None:
    for _ in range(2):
        make(idempotency_key=WORD)


DATABASE: dict[str, tuple[str, Callable[[Make], Any]]] = {
    "check": ("23514", lambda make: make(status="running")),
    "not null": ("23502", lambda make: make(feature=None)),
    "unique": ("23505", _twice),
    "foreign key": ("23000", lambda make: make(user_id=-1)),
    "too long": ("22001", lambda make: make(feature=CANARY * 10)),
    "no number": ("22P02", lambda _: _ask("SELECT %s::int", CANARY)),
    "no date": ("22007", lambda _: _ask("SELECT %s::timestamptz", CANARY)),
    "no json": ("22P02", lambda _: _ask("SELECT %s::jsonb", CANARY)),
    "out of range": ("22003", lambda _: _ask(f"SELECT {10**400}::float8, %s", CANARY)),
    "no column": ("42703", lambda _: _ask(f'SELECT "{WORD}"')),
    "syntax": ("42601", lambda _: _ask(f"SELEC '{WORD}'")),
    "raised": ("P0001", lambda _: _ask(f"DO $$ BEGIN RAISE '{WORD}'; END $$")),
}


@pytest.mark.parametrize("kind", sorted(DATABASE))
def test_a_database_error_has_a_code(
    make_job: MakeJob, reports: Kept, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    code, fail = DATABASE[kind]
    with pytest.raises(DatabaseError) as raised_here, transaction.atomic():
        fail(partial(make_job, input={"document": CANARY}))
    error = raised_here.value
    assert not is_clean(str(error)) or kind in {"too long", "out of range", "foreign key"}
    logging.getLogger("aifeature.test").error("it failed: %s", error, exc_info=error)
    assert code in scrubbing.kind(error)
    assert f" {code}" in caplog.text
    assert code in reports.text
    assert is_clean(caplog.text), caplog.text
    assert is_clean(reports.text), reports.text


@every_kind
@pytest.mark.usefixtures("committed", "live_prompt")
def test_a_crash_in_the_middle_of_a_job_quotes_neither_input_nor_answer(
    make_job: MakeJob,
    sandbox: SandboxServer,
    reports: Kept,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.setattr(output, "validate", lambda *_: KINDS[kind](CANARY))
    job = make_job(input={"document": f"{CANARY} is in this text."})
    job_run.run_feature(job.pk, worker="test")
    job.refresh_from_db()
    reason = job.wait_reason or job.error_code
    assert reason in {"internal_error", "interrupted", "answer_garbled"}
    if kind == "RuntimeError":
        assert reason == "internal_error"
        assert '"type":"RuntimeError"' in reports.text
    if reason == "internal_error":
        assert "_checked" in reports.text, "the report shows the place of the defect"
    assert is_clean(caplog.text), caplog.text
    assert is_clean(reports.text), reports.text


@pytest.mark.parametrize("code", ["23514", "23502", "22P02", "P0001"])
@pytest.mark.usefixtures("committed")
def test_a_write_that_is_refused_quotes_no_row(
    make_job: MakeJob,
    sandbox: SandboxServer,
    reports: Kept,
    caplog: pytest.LogCaptureFixture,
    code: str,
) -> None:
    job = make_job(input={"document": CANARY})
    with refusing("UPDATE ON aifeature_job", "NEW.status <> 'running'", code):
        try:
            job_run.run_feature(job.pk, worker="test")
        except DatabaseError as error:
            logging.getLogger("celery.app.trace").exception("raised: %s", repr(error))  # noqa: TRY401 (as Celery does)
    assert code in caplog.text
    assert is_clean(caplog.text), caplog.text
    assert is_clean(reports.text), reports.text


@every_kind
def test_a_page_that_breaks_quotes_nothing(
    client: Client,
    ada: User,
    opened: None,
    reports: Kept,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.setattr("aifeature.services.jobs.submit", lambda **_: KINDS[kind](CANARY))
    client.force_login(ada)
    client.raise_request_exception = False
    page = client.post("/f/summarize/", {"in-document": CANARY})
    answer = client.post(
        "/api/v1/features/summarize/jobs",
        {"input": {"document": CANARY}},
        content_type="application/json",
    )
    assert {page.status_code, answer.status_code} <= {500, 503}
    found = caplog.text + reports.text + page.content.decode() + answer.content.decode()
    assert is_clean(found), found


def test_a_malformed_request_is_no_error_report(db: None, reports: Kept) -> None:
    """Otherwise any visitor could use up the quota of reports."""
    assert Client(headers={"host": "not-our-host.example"}).get("/jobs/").status_code == 400
    assert "Invalid HTTP_HOST" not in reports.text


own = Celery("canaries", task_cls=task_events.Task, set_as_current=False, broker="memory://")


@own.task(name="canaries.fail", shared=False)
def fail(kind: str) -> None:
    KINDS[kind](CANARY)


class Sent:
    """Keeps the events that Flower would be sent."""

    enabled = True

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def send(self, kind: str, **fields: Any) -> None:
        self.events.append((kind, fields))


@every_kind
def test_events_and_logs_hold_only_the_type(
    reports: Kept, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    task, events = own.tasks["canaries.fail"], Sent()
    found = task.apply(kwargs={"kind": kind})
    einfo = SimpleNamespace(
        exception=found.result, traceback=found.traceback, exc_info=(None, found.result, None)
    )
    request = _request(task, events)
    request.on_failure(einfo, return_ok=True)
    (name, fields) = events.events[-1]
    assert name == "task-failed"
    assert fields["exception"].startswith(type(found.result).__name__)
    assert "canaries.py" in fields["traceback"]
    text = f"{events.events}{caplog.text}{reports.text}"
    assert "raised unexpected" in caplog.text
    assert is_clean(text), text


def _request(task: Any, events: Sent) -> task_events.Request:
    message = SimpleNamespace(
        headers={"id": str(uuid4()), "task": task.name},
        body=b"",
        payload=([], {"job_id": "1"}, {}),
        content_type="application/json",
        content_encoding="utf-8",
        delivery_info={},
        properties={},
    )
    return task_events.Request(message, app=task.app, task=task, eventer=events)


def test_every_task_is_of_our_kind() -> None:
    assert issubclass(app.Task, task_events.Task)
    assert app.Task.Request == "project.task_events:Request"
    for name, task in app.tasks.items():
        if not name.startswith("celery."):
            assert isinstance(task, task_events.Task), name


def test_an_exception_that_was_raised_here_is_dirty() -> None:
    """Otherwise the tests above would prove nothing."""
    for kind in KINDS:
        error = raised(kind, CANARY)
        related = (error, error.__cause__, error.__context__)
        texts = [f"{each} {each!r} {getattr(each, '__notes__', '')}" for each in related if each]
        dirty = [text for text in texts if not is_clean(text)]
        hidden = kind in {"AnswerGarbled", "TypeError", "UnicodeDecodeError", "JSONDecodeError"}
        assert dirty or hidden, kind
