"""What users write and models answer stays out of logs, reports and task events, whatever fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now
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

WORD = CANARY.split(maxsplit=1)[0]


@pytest.fixture
def reports() -> Iterator[Kept]:
    with kept_reports() as kept:
        yield kept


def _job(ada: User, **values: Any) -> Job:
    found: Job = Job.objects.create(
        **{
            "user": ada,
            "feature": "summarize",
            "input": {"document": CANARY},
            "deadline_at": Now(),
            **values,
        }
    )
    return found


def _ask(query: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(query, values)


def _twice(ada: User) -> None:
    for _ in range(2):
        _job(ada, idempotency_key=WORD)


DATABASE: dict[str, tuple[str, Callable[[User], Any]]] = {
    "check": ("23514", lambda ada: _job(ada, status="running")),
    "not null": ("23502", lambda ada: _job(ada, feature=None)),
    "unique": ("23505", _twice),
    "foreign key": ("23000", lambda ada: _job(ada, user_id=-1)),
    "too long": ("22001", lambda ada: _job(ada, feature=CANARY * 10)),
    "no number": ("22P02", lambda _: _ask("SELECT %s::int", CANARY)),
    "no date": ("22007", lambda _: _ask("SELECT %s::timestamptz", CANARY)),
    "no json": ("22P02", lambda _: _ask("SELECT %s::jsonb", CANARY)),
    "out of range": ("22003", lambda _: _ask(f"SELECT {10**400}::float8, %s", CANARY)),
    "no column": ("42703", lambda _: _ask(f'SELECT "{WORD}"')),
    "syntax": ("42601", lambda _: _ask(f"SELEC '{WORD}'")),
    "raised": ("P0001", lambda _: _ask(f"DO $$ BEGIN RAISE '{WORD}'; END $$")),
}


@pytest.mark.parametrize("kind", sorted(DATABASE))
def test_a_database_error_is_its_code(
    ada: User, reports: Kept, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    code, fail = DATABASE[kind]
    with pytest.raises(DatabaseError) as raised_here, transaction.atomic():
        fail(ada)
    error = raised_here.value
    assert not is_clean(str(error)) or kind in {"too long", "out of range", "foreign key"}
    logging.getLogger("aifeature.test").error("it failed: %s", error, exc_info=error)
    assert code in scrubbing.kind(error)
    assert f" {code}" in caplog.text
    assert code in reports.text
    assert is_clean(caplog.text), caplog.text
    assert is_clean(reports.text), reports.text


@every_kind
@pytest.mark.usefixtures("committed")
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
    assert (job.wait_reason or job.error_code) in {
        "internal_error",
        "interrupted",
        "answer_garbled",
    }
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
def test_flower_and_the_log_get_only_the_type_of_an_exception(
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
    """Or the tests above would prove nothing."""
    for kind in KINDS:
        error = raised(kind, CANARY)
        related = (error, error.__cause__, error.__context__)
        texts = [f"{each} {each!r} {getattr(each, '__notes__', '')}" for each in related if each]
        dirty = [text for text in texts if not is_clean(text)]
        hidden = kind in {"AnswerGarbled", "TypeError", "UnicodeDecodeError", "JSONDecodeError"}
        assert dirty or hidden, kind
