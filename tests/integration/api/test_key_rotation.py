"""A new SECRET_KEY changes nothing for a request that is sent again."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from aifeature.models import Job
from tests.integration.api.api_jobs import bearer, problem, submit

OTHER = {"input": {"document": "Something else."}}


HASHED = "order of anna.berg@postkontor.example"


@pytest.mark.parametrize("key", ["k", HASHED, "hmac:x"])
def test_a_replay_survives_a_new_key(ada: User, opened: None, settings: Any, key: str) -> None:
    client, old = bearer(ada), settings.SECRET_KEY
    first = submit(client, idempotency_key=key).json()["id"]
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another key " * 4, [old]
    again = submit(client, idempotency_key=key)
    assert (again.status_code, again.json()["id"]) == (202, first)
    assert again["Idempotency-Replayed"] == "true"
    problem(submit(client, OTHER, idempotency_key=key), 409, "idempotency_conflict")
    assert Job.objects.count() == 1


def test_a_stored_key_is_no_key_of_another_request(ada: User, opened: None) -> None:
    client = bearer(ada)
    submit(client, idempotency_key=HASHED)
    stored = Job.objects.get().idempotency_key
    assert stored is not None
    assert stored.startswith("hmac:")
    assert submit(client, idempotency_key=stored).get("Idempotency-Replayed") is None
    assert submit(client, idempotency_key=HASHED.replace("anna", "anne")).status_code == 202
    assert Job.objects.count() == 3


def test_a_key_that_an_earlier_release_stored_leads_to_its_job(ada: User, opened: None) -> None:
    client = bearer(ada)
    first = submit(client, idempotency_key=HASHED).json()["id"]
    Job.objects.update(idempotency_key=HASHED)
    assert submit(client, idempotency_key=HASHED).json()["id"] == first
