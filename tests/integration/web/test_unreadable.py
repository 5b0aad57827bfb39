"""A request whose headers Django cannot read is refused with a message at every address."""

from __future__ import annotations

import asyncio
import logging

import httpx2
import pytest

from project.asgi import application
from tests.integration.event_loop import client_of
from tests.integration.fuzz.asgi import Site, Visit
from tests.integration.fuzz.conftest import CSRF

STOP = "/admin/aifeature/featurecontrol/summarize/stop/"
PATHS = ("/", STOP, "/healthz", "/nothing/", "/static/nothing")
KINDS = ("text/plain; charset*=nothing''x", "text/plain; a*2=x; a*=")


def asked(path: str, kind: str) -> httpx2.Response:
    async def send() -> httpx2.Response:
        async with client_of(application) as client:
            return await client.get(path, headers={"content-type": kind})

    return asyncio.run(send())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", PATHS)
def test_a_page_explains(db: None, caplog: pytest.LogCaptureFixture, path: str, kind: str) -> None:
    answer = asked(path, kind)
    assert answer.status_code == 400
    assert "cannot be read" in answer.text
    assert answer.headers["X-Request-ID"] in answer.text
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_api_sends_a_problem_document(db: None, kind: str) -> None:
    answer = asked("/api/v1/jobs", kind)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "bad_request"


def test_a_part_of_a_form_that_cannot_be_read_makes_it_malformed(db: None) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="q"; a*2=x; a*=\r\n\r\nx\r\n--b--\r\n'
    length = (b"content-length", str(len(part)).encode())
    kind = (b"content-type", b"multipart/form-data; boundary=b")
    headers = [(b"cookie", f"csrftoken={CSRF}".encode()), kind, length]
    answer = Site().visit(Visit(b"/accounts/login/", "POST", headers, part))
    assert (answer.status, answer.defects) == (400, [])
    assert b"We could not read your request" in answer.body
