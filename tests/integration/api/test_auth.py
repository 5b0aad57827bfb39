"""The API accepts a session with its CSRF token, or a valid bearer token."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from aifeature.models import ApiToken, Job
from tests.integration.api.api_jobs import bearer, problem, submit

FEATURES = "/api/v1/features"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", FEATURES),
        ("post", "/api/v1/features/summarize/jobs"),
        ("get", "/api/v1/jobs"),
        ("get", "/api/v1/jobs/3b0cbd4d-1f1c-4a44-8c0c-5e0b2d3cb7a1"),
        ("post", "/api/v1/jobs/3b0cbd4d-1f1c-4a44-8c0c-5e0b2d3cb7a1/cancel"),
    ],
)
def test_a_request_without_credentials_gets_a_401_with_a_challenge(method: str, path: str) -> None:
    response = getattr(Client(enforce_csrf_checks=True), method)(path)
    problem(response, 401, "unauthenticated")
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_a_token_needs_no_csrf_token(ada: User, opened: None) -> None:
    assert submit(bearer(ada)).status_code == 202


def test_a_session_needs_its_csrf_token_to_change_something(ada: User, opened: None) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    assert client.get(FEATURES).status_code == 200

    assert "X-CSRFToken" in problem(submit(client), 403, "csrf_failed")["detail"]
    assert not Job.objects.exists()

    client.get("/api/v1/docs")  # its page carries the token, and sets the cookie
    secret = client.cookies["csrftoken"].value
    assert submit(client, x_csrftoken=secret).status_code == 202


@pytest.mark.parametrize(
    "header", ["Bearer aif_wrong", "Bearer", "Bearer ", "Basic YTpi", "aif_x", "Bearer \xe9"]
)
def test_an_invalid_token_is_refused_even_beside_a_session(ada: User, header: str) -> None:
    client = Client()
    client.force_login(ada)
    problem(client.get(FEATURES, headers={"authorization": header}), 401, "unauthenticated")


def test_a_revoked_token_and_an_inactive_user_are_refused(ada: User, bob: User) -> None:
    revoked, inactive = bearer(ada), bearer(bob)
    assert revoked.get(FEATURES).status_code == inactive.get(FEATURES).status_code == 200
    ApiToken.objects.filter(user=ada).update(revoked_at=Now())
    User.objects.filter(pk=bob.pk).update(is_active=False)
    problem(revoked.get(FEATURES), 401, "unauthenticated")
    problem(inactive.get(FEATURES), 401, "unauthenticated")


def test_the_table_does_not_hold_the_token(ada: User) -> None:
    row, text = ApiToken.issue(user_id=ada.pk, name="x")
    row.refresh_from_db()
    secret = text.removeprefix(row.hint)
    assert all(secret not in str(value) for value in vars(row).values())


def test_use_is_noted_at_most_once_a_minute(ada: User) -> None:
    client = bearer(ada)
    client.get(FEATURES)
    first = ApiToken.objects.get().last_used_at
    assert first is not None

    with CaptureQueriesContext(connection) as queries:
        client.get(FEATURES)
    assert not [query for query in queries if query["sql"].startswith("UPDATE")]
    assert ApiToken.objects.get().last_used_at == first

    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(seconds=61))
    client.get(FEATURES)
    again = ApiToken.objects.get().last_used_at
    assert again is not None
    assert again >= first


def test_a_token_works_while_its_use_cannot_be_noted(ada: User, committed: None) -> None:
    """A full disk refuses writes and lets all else through."""
    token = ApiToken.issue(user_id=ada.pk, name="test")[1]
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$;"
            "CREATE TRIGGER full_disk BEFORE UPDATE ON aifeature_apitoken"
            " FOR EACH ROW EXECUTE FUNCTION full_disk()"
        )
    try:
        response = Client().get("/api/v1/jobs", headers={"Authorization": f"Bearer {token}"})
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION full_disk CASCADE")
    assert response.status_code == 200
    assert ApiToken.objects.get().last_used_at is None
