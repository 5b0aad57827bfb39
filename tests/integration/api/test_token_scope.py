"""A token does what its scope allows, for its features, until it expires."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.functions import Now
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from aifeature.models import ApiToken, Job
from tests.integration.api.api_jobs import DOCUMENT, job, problem
from tests.integration.fuzz.values import thorough

SLUGS = st.none() | st.sets(st.sampled_from(["summarize", "other", "triage"]), max_size=3)
LASTS = st.none() | st.integers(-600, 600).filter(lambda s: abs(s) > 60)
CALLS = ("features", "usage", "submit", "list", "get", "cancel", "events")


def ask(client: Client, call: str, known: Job) -> Any:
    root = "/api/v1"
    if call == "submit":
        return client.post(
            f"{root}/features/summarize/jobs", {"input": DOCUMENT}, content_type="application/json"
        )
    if call == "cancel":
        return client.post(f"{root}/jobs/{known.id}/cancel")
    paths = {"features": "features", "usage": "usage", "list": "jobs", "get": f"jobs/{known.id}"}
    return client.get(f"{root}/{paths.get(call, f'jobs/{known.id}/events')}")


def asked(token: str, call: str, known: Job) -> Any:
    return ask(Client(headers={"authorization": f"Bearer {token}"}), call, known)


@thorough(60)
@given(slugs=SLUGS, seconds=LASTS, may_submit=st.booleans(), call=st.sampled_from(CALLS))
def test_every_call_is_held_to_the_scope(
    ada: User,
    opened: None,
    slugs: set[str] | None,
    seconds: int | None,
    may_submit: bool,
    call: str,
) -> None:
    with transaction.atomic():
        known = job(ada)
        lasts = None if seconds is None else timedelta(seconds=seconds)
        row, token = ApiToken.issue(
            user_id=ada.pk, name="x", lasts=lasts, may_submit=may_submit, features=slugs
        )
        if call == "events":  # a stream would have to be read: its first refusal is enough
            call = "get"
        answer = asked(token, call, known)
        covered = slugs is None or "summarize" in slugs
        if seconds is not None and seconds < 0:
            problem(answer, 401, "unauthenticated")
        elif (call in {"submit", "cancel"} and not may_submit) or (
            call == "submit" and not covered
        ):
            problem(answer, 403, "token_scope")
            assert Job.objects.count() == 1
        elif call in {"get", "cancel"} and not covered:
            problem(answer, 404, "not_found")
        elif call in {"features", "usage", "list"}:
            assert len(answer.json()["items"]) == covered
        else:
            assert answer.status_code in {200, 202}
        known.refresh_from_db()
        did_cancel = call == "cancel" and answer.status_code == 200
        assert (known.cancelled_by == "user") == did_cancel
        assert row.pk
        transaction.set_rollback(True)


def test_a_stream_of_another_feature_is_not_found(ada: User, opened: None) -> None:
    known = job(ada)
    _, token = ApiToken.issue(user_id=ada.pk, name="x", features=["triage"])
    problem(asked(token, "events", known), 404, "not_found")


def test_an_expired_token_is_revived_by_nothing(ada: User, opened: None) -> None:
    row, token = ApiToken.issue(user_id=ada.pk, name="x", lasts=timedelta(hours=1))
    known = job(ada)
    assert asked(token, "list", known).status_code == 200
    ApiToken.objects.filter(pk=row.pk).update(expires_at=Now())
    problem(asked(token, "list", known), 401, "unauthenticated")
