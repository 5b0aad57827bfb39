"""A new SECRET_KEY changes nothing for a request that is sent again."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User

from aifeature.models import Job
from tests.integration.api.api_jobs import bearer, problem, submit

OTHER = {"input": {"document": "Something else."}}


def test_a_replay_survives_a_new_key(ada: User, opened: None, settings: Any) -> None:
    client, old = bearer(ada), settings.SECRET_KEY
    first = submit(client, idempotency_key="k").json()["id"]
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another key " * 4, [old]
    again = submit(client, idempotency_key="k")
    assert (again.status_code, again.json()["id"]) == (202, first)
    assert again["Idempotency-Replayed"] == "true"
    problem(submit(client, OTHER, idempotency_key="k"), 409, "idempotency_conflict")
    assert Job.objects.count() == 1
