"""Personal data in the answers of a provider, and in the inputs of jobs, is stored nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import connection

from aifeature.models import Attempt, CancelledBy, Job, Status, transitions
from aifeature.services import evaluations
from aifeature.services.execution import job_run
from aifeature.services.provider import factory
from aifeature.services.streams import writer
from tests.broken_answers import delta, good
from tests.integration.api.api_jobs import bearer, submit
from tests.integration.privacy.personal_data import stored
from tests.integration.privacy.personal_data.planted import EVERYTHING, PLANTED, found_in
from tests.integration.privacy.personal_data.test_never_raw import PLACEHOLDER
from tests.wire import Exchange, WireServer, serving, sse

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "opened")]

DOCUMENT = "The parcel was lost on Monday. We sent another one on Tuesday. "


@pytest.fixture
def provider(_fresh_gates: None, settings: Any) -> Iterator[WireServer]:
    """The process's gateway talks to a provider that answers with planted personal data."""
    answer = json.dumps({"summary": f"{DOCUMENT}{EVERYTHING}.", "key_facts": [EVERYTHING[:200]]})

    def script(exchange: Exchange) -> None:
        events = good(answer)
        before, after = events[:2], events[3:]
        parts = [answer[at : at + 7] for at in range(0, len(answer), 7)]
        exchange.stream(*before, *(("content_block_delta", delta(part)) for part in parts), *after)

    with serving(script) as server:
        settings.AIFEATURE = {**settings.AIFEATURE, "API_KEY": "k", "BASE_URL": server.url}
        factory.gateway.cache_clear()
        yield server
        factory.gateway().close()
        factory.gateway.cache_clear()


@pytest.fixture(autouse=True)
def _fresh_writer() -> Iterator[None]:
    with redis.Redis.from_url(django_settings.REDIS_URL, protocol=2) as client:
        client.flushdb()
    writer.process.cache_clear()
    yield
    writer.process.cache_clear()


def leaks() -> dict[str, list[str]]:
    """Return the planted values by place, of the tables and Redis."""
    writer.process().flush()
    texts = stored.of_tables() | stored.of_redis(django_settings.REDIS_URL)
    return {place: found for place, text in texts if (found := found_in(text))}


def ran(job: Job) -> Job:
    job_run.run_feature(job.pk, worker="test")
    job.refresh_from_db()
    return job


def test_a_job_stores_neither_its_input_nor_its_answer_raw(
    ada: User, provider: WireServer, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"input": {"document": DOCUMENT + EVERYTHING}}
    made = submit(bearer(ada), body, idempotency_key=EVERYTHING[:100])
    assert made.status_code == 202, made.content
    job = Job.objects.get(pk=made.json()["id"])
    document: Any = job.input
    assert len(PLACEHOLDER.findall(document["document"])) == len(PLANTED)
    assert ran(job).status == Status.SUCCEEDED
    assert PLACEHOLDER.search(json.dumps(job.result))
    assert all(PLACEHOLDER.search(call.output) for call in Attempt.objects.filter(job=job))
    assert leaks() == {}
    assert found_in(caplog.text) == []


def test_a_cancelled_job_keeps_no_raw_text(ada: User, provider: WireServer) -> None:
    made = submit(bearer(ada), {"input": {"document": DOCUMENT}})
    job = Job.objects.get(pk=made.json()["id"])

    def cancelled_midway(exchange: Exchange) -> None:
        answer = json.dumps({"summary": f"{DOCUMENT}{EVERYTHING}. {DOCUMENT * 8}"})[:-2]
        exchange.start_stream()
        exchange.chunk(sse(*good()[:2], ("content_block_delta", delta(answer))))
        writer.process().flush()
        transitions.cancel(job.pk, user_id=ada.pk, message="It was cancelled.", by=CancelledBy.USER)
        connection.close()
        exchange.hang()

    provider.script = cancelled_midway
    assert ran(job).status == Status.CANCELLED
    assert PLACEHOLDER.search(job.partial_text or ran(job).partial_text), "some was shown"
    assert leaks() == {}


def test_an_evaluation_stores_neither_raw(ada: User, provider: WireServer) -> None:
    found = evaluations.submit(
        owner=ada,
        slug="summarize",
        data={"document": DOCUMENT + EVERYTHING},
        key="case-1",
        nonce="1",
        deadline_s=60,
    )
    assert ran(Job.objects.get(pk=found)).status == Status.SUCCEEDED
    assert leaks() == {}
