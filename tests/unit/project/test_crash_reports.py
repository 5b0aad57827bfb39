"""Standard error, debug pages, e-mails and Sentry: types and places, and nothing of any value."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import types
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from django.core import mail
from django.test import RequestFactory
from django.utils.log import AdminEmailHandler

from project import crashes
from project.crash_pages import Reporter
from tests.canaries import CANARY, Form, every_kind, is_clean, raised
from tests.kept_reports import Kept, kept_reports

pytestmark = pytest.mark.slow

PROGRAM = """
import logging, os, sys, threading, warnings
import django
django.setup()
text = os.environ["CANARY"]
def crash():
    {}[text]
thread = threading.Thread(target=crash, name="worker")
thread.start()
thread.join()
warnings.warn(text)
logging.getLogger("anybody").error("failed: %s", text.__class__, exc_info=ValueError(text))
class Held:
    def __del__(self):
        int(text)
Held()
crash()
"""


def test_a_program_that_reads_the_settings_quotes_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "CANARY": CANARY, "DJANGO_SETTINGS_MODULE": "project.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    for expected in (
        "uncaught in thread worker: KeyError",
        "UserWarning",
        "ERROR anybody failed",
        "ignored in a function: ValueError",
        "uncaught: KeyError",
    ):
        assert expected in done.stderr
    assert is_clean(done.stdout + done.stderr), done.stderr


@every_kind
def test_uncaught_exceptions_quote_nothing_on_standard_error(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = raised(kind, CANARY)
    where = error.__traceback__
    crashes._uncaught(type(error), error, where)
    thread = threading.Thread(name="worker")
    crashes._in_thread(threading.ExceptHookArgs((type(error), error, where, thread)))
    crashes._unraisable(types.SimpleNamespace(exc_value=error, exc_traceback=None, object=CANARY))
    found = capsys.readouterr().err
    for first in ("uncaught: ", "uncaught in thread worker: ", "ignored in a str: "):
        assert f"{first}{type(error).__name__}" in found
    assert is_clean(found), found


def test_a_warning_quotes_no_value() -> None:
    value = Form.model_construct(count="canary")  # type: ignore[arg-type]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value.model_dump()
    (found,) = caught
    assert "canary" in str(found.message)
    shown = warnings.formatwarning(found.message, found.category, found.filename, found.lineno)
    assert "canary" not in shown
    assert "UserWarning" in shown
    assert "removed" in warnings.formatwarning("it is removed", DeprecationWarning, "a.py", 1)


@every_kind
@pytest.mark.parametrize("form", ["get_traceback_html", "get_traceback_text"])
def test_a_debug_page_and_an_email_show_no_value(kind: str, form: str) -> None:
    error = raised(kind, CANARY)
    request = RequestFactory().post(f"/?q={CANARY}", {"document": CANARY})
    request.COOKIES["session"] = CANARY
    found = getattr(Reporter(request, type(error), error, error.__traceback__), form)()
    assert type(error).__name__ in found
    assert "canaries.py" in found
    assert is_clean(found), found


@every_kind
def test_an_email_to_admins_quotes_nothing(kind: str, settings: Any) -> None:
    settings.ADMINS = [("Ops", "ops@example.com")]
    error = raised(kind, CANARY)
    logger = logging.getLogger("tests.mail")
    handler = AdminEmailHandler(include_html=True)
    logger.addHandler(handler)
    try:
        request = RequestFactory().post("/", {"document": CANARY})
        extra = {"request": request, "status_code": 500}
        logger.error("Server error: %s", error, exc_info=error, extra=extra)
    finally:
        logger.removeHandler(handler)
    message: Any
    (message,) = mail.outbox
    assert type(error).__name__ in message.body
    assert is_clean(f"{message.subject}{message.body}{message.alternatives}")


@pytest.fixture
def reports() -> Iterator[Kept]:
    with kept_reports(traces_sample_rate=1.0) as kept:
        yield kept


@every_kind
def test_a_report_holds_the_type_and_quotes_nothing(kind: str, reports: Kept) -> None:
    error = raised(kind, CANARY)
    ours = logging.getLogger("aifeature.test")
    with (
        sentry_sdk.isolation_scope() as scope,
        sentry_sdk.start_transaction(name="t", op="test") as trace,
    ):
        scope.set_extra("input", CANARY)
        scope.set_user({"username": CANARY})
        scope.set_context("job", {"input": CANARY})
        trace.set_data("db.statement", CANARY)
        sentry_sdk.add_breadcrumb(category="query", message=CANARY, data={"input": CANARY})
        logging.getLogger("someone.else").warning("%s", CANARY)
        logging.getLogger("someone.else").error("theirs: %s", CANARY)
        ours.warning("a breadcrumb of ours: %s", error, extra={"input": CANARY})
        sentry_sdk.capture_exception(error)
        sentry_sdk.capture_message(CANARY)
        ours.error("it failed: %s", error, extra={"input": CANARY})
        ours.error("again", exc_info=error)
    found = reports.text
    assert f'"type":"{type(error).__name__}"' in found
    assert '"function":"raised"' in found
    assert "it failed" in found
    assert "theirs" in found
    assert "a breadcrumb of ours" in found
    assert is_clean(found), found
