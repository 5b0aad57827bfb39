"""Each press of a kill switch gets an answer, also during a fault."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError, connection, connections
from django.test import AsyncClient, Client

from aifeature import registry
from aifeature.models import ControlChange, FeatureControl
from aifeature.services.controls import switch
from project import switch_requests
from project.database import pool as pool_module
from tests.integration.admin.conftest import Staff
from tests.integration.admin.test_switch import DETAIL, RELEASE, STOP, STOP_ALL
from tests.integration.controls.switch.test_refused import in_force, other_session

LOGIN = "/admin/login/"
PASSWORD = "correct horse"
HTMX = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{DETAIL}"}
FORM = {"_form_submitted": "on", "mode": "cancel", "reason": "Bad answers."}

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def sam(transactional_db: None) -> Iterator[User]:
    FeatureControl.objects.create(feature="summarize")
    yield User.objects.create_superuser("sam", password=PASSWORD)
    connection.close()


@pytest.fixture
def page(sam: User) -> Client:
    """The browser of a signed-in user. The next request opens a new database connection."""
    client = Client()
    client.post(LOGIN, {"username": "sam", "password": PASSWORD})
    connection.close()
    return client


def press(client: Client, address: str = STOP, **headers: str) -> Any:
    return client.post(address, FORM, headers={**HTMX, **headers})


def killed(slug: str = "summarize") -> bool:
    return switch.is_stopped(slug)


def assert_shown_in_the_dialog(answer: Any) -> None:
    """Check that the dialog shows the answer, which needs status 200, and keeps its fields."""
    assert answer.status_code == 200
    assert 'id="dialog-form"' in answer.text
    assert 'value="Bad answers."' in answer.text
    assert 'value="cancel"' in answer.text
    assert "checked" in answer.text


def test_a_locked_control_is_explained_in_the_dialog_and_on_a_page(page: Client) -> None:
    with other_session("SELECT 1 FROM aifeature_featurecontrol FOR UPDATE") as other:
        assert "This stops" in page.get(STOP, headers=HTMX).text
        answer = press(page)
        assert f"pid {other.info.backend_pid}" in answer.text
        assert_shown_in_the_dialog(answer)
        alone = page.post(STOP, FORM)
        assert alone.status_code == 503
        for text in (answer.text, alone.text):
            assert "The kill switch was not changed" in text
            assert "or stop everything" in text
            assert "stop the llm workers" in text
    assert press(page)["HX-Redirect"] == DETAIL
    assert killed()


@pytest.mark.parametrize("address", [STOP, STOP_ALL])
def test_an_exhausted_pool_is_not_waited_for(page: Client, address: str) -> None:
    """The spare connection reads sessions and permissions too."""
    pool: Any = connection.pool  # type: ignore[attr-defined]
    with ExitStack() as exits:
        for _ in range(pool._max_size):
            exits.callback(pool.putconn, pool.getconn())
        assert "This stops" in page.get(address, headers=HTMX).text
        assert press(page, address)["HX-Redirect"] == DETAIL
        connection.close()
    assert killed("_everything" if address == STOP_ALL else "summarize")


def test_an_exhausted_pool_is_not_waited_for_under_asgi(sam: User, page: Client) -> None:
    pool: Any = connection.pool  # type: ignore[attr-defined]
    client = AsyncClient()
    client.cookies = page.cookies

    async def stop() -> Any:
        try:
            return await client.post(STOP, FORM, headers=HTMX)
        finally:
            await sync_to_async(connections.close_all)()

    with ExitStack() as exits:
        for _ in range(pool._max_size):
            exits.callback(pool.putconn, pool.getconn())
        answer = asyncio.run(stop())
    assert answer["HX-Redirect"] == DETAIL
    assert killed()


@pytest.fixture
def elsewhere(sam: User) -> Client:
    """Another browser with an older session, in which no staff signed in."""
    client = Client()
    client.force_login(sam)
    connection.close()
    return client


@pytest.mark.parametrize("browser", ["page", "elsewhere"])
def test_a_lock_on_sessions_is_explained(request: pytest.FixtureRequest, browser: str) -> None:
    client: Client = request.getfixturevalue(browser)
    with other_session("LOCK django_session IN ACCESS EXCLUSIVE MODE"):
        answer = press(client)
    assert_shown_in_the_dialog(answer)
    assert "Another session holds a lock" in answer.text


def test_staff_have_spare_connections_of_their_own(
    sam: User, page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any visitor can request the page of a switch, also with an invented session."""
    pool: Any = connection.pool  # type: ignore[attr-defined]
    monkeypatch.setattr(pool_module, "URGENT_WAIT_S", 0.01)
    stranger, user = Client(), Client()
    stranger.cookies["sessionid"] = "0" * 32
    stranger.cookies[switch_requests.STAFF_COOKIE] = "yes:made-up"
    User.objects.create_user("eve", password=PASSWORD)
    user.post("/accounts/login/", {"username": "eve", "password": PASSWORD})
    connection.close()
    with ExitStack() as exits:
        with pool_module.urgent(trusted=False):
            for _ in range(pool_module.SPARE):
                exits.callback(pool.putconn, pool.getconn())
        for client in (stranger, user):
            for address, action in ((STOP, "stop"), (RELEASE, "release")):
                refused = client.get(address)
                assert refused.status_code == 503
                assert "spare database connections of this process were in use" in refused.text
                assert f"manage.py kill_switch {action} summarize" in refused.text
        assert page.get(STOP).status_code == 200
        connection.close()


@pytest.mark.parametrize("login", [LOGIN, "/accounts/login/"])
def test_a_sign_in_that_leads_to_no_address_is_a_sign_in(db: None, login: str) -> None:
    assert Client().get(login, {"next": "http://["}).status_code == 200


def test_a_database_that_takes_no_writes_is_explained(page: Client) -> None:
    name, setting = connection.settings_dict["NAME"], "default_transaction_read_only"
    with in_force(
        f'ALTER DATABASE "{name}" SET {setting} = on', f'ALTER DATABASE "{name}" RESET {setting}'
    ):
        connection.close()
        answer = press(page)
        assert_shown_in_the_dialog(answer)
        assert "The database takes no writes" in answer.text
        for address in (DETAIL, "/admin/aifeature/featurecontrol/"):
            assert page.get(address).status_code == 200, "pages are readable"
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]  # its sessions still take no writes
    assert not killed()


@pytest.mark.parametrize("method", ["get", "post"])
def test_an_outage_is_explained(page: Client, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    def away() -> None:
        raise psycopg.OperationalError("connection refused")

    monkeypatch.setattr(connection.pool, "_connect_urgently", away)  # type: ignore[attr-defined]
    answer = page.get(STOP, headers=HTMX) if method == "get" else press(page)
    assert answer.status_code == 200
    assert 'id="dialog"' in answer.text
    alone = page.get(STOP) if method == "get" else page.post(STOP, FORM)
    assert alone.status_code == 503
    for text in (answer.text, alone.text):
        assert "There is no connection to the database: connection refused." in text
        assert "deploy/runbooks/kill-switch.md" in text


def test_after_an_expired_session_the_same_form_is_filled_in_as_it_was(sam: User) -> None:
    client = Client()
    sign_in = press(client)["HX-Redirect"]
    assert sign_in.startswith(f"{LOGIN}?next=")
    shown = client.get(sign_in)
    assert shown.status_code == 200
    answer = client.post(sign_in, {"username": "sam", "password": PASSWORD})
    form = client.get(answer["Location"])
    assert "Nothing was sent yet" in form.text
    assert 'value="Bad answers."' in form.text
    assert form.context["form"]["mode"].value() == "cancel"
    assert not killed()
    done = client.post(answer["Location"], FORM)
    assert done["Location"] == "/admin/aifeature/featurecontrol/"
    assert killed()
    assert ControlChange.objects.get(field="killed").user == sam


def test_a_form_from_before_a_sign_in_comes_back_filled_in(sam: User) -> None:
    """The sign-in in another tab invalidated its CSRF token."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(sam)
    for answer, where in (
        (press(client), "HX-Redirect"),
        (client.post(STOP, FORM), "Location"),
    ):
        form = client.get(answer[where])
        assert "This form was out of date, so nothing was sent." in form.text
        assert 'value="Bad answers."' in form.text
        assert form.context["form"]["mode"].value() == "cancel"
    assert not killed()
    token = client.cookies["csrftoken"].value
    assert press(client, **{"X-CSRFToken": token})["HX-Redirect"] == DETAIL
    assert killed()


@pytest.mark.parametrize(
    ("address", "label", "permission"),
    [
        (STOP, "Can pull the kill switch", "aifeature.stop_feature"),
        (RELEASE, "Can release the kill switch", "aifeature.release_feature"),
    ],
)
def test_a_missing_permission_is_named_with_who_can_give_it(
    sam: User, staff: Staff, address: str, label: str, permission: str
) -> None:
    client = staff("view_featurecontrol")
    answer = client.post(address, FORM, headers=HTMX)
    alone = client.post(address, FORM)
    assert (answer.status_code, alone.status_code) == (200, 403)
    for text in (answer.text, alone.text):
        assert label in text
        assert permission in text
        assert "A superuser can give it to you" in text
        assert "manage.py kill_switch" in text
    assert not killed()


def test_an_unsaved_session_hides_no_flip(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session stores the message of the page; the flip is committed before."""

    def full(*_: Any, **__: Any) -> None:
        raise OperationalError("could not extend file: No space left on device")

    monkeypatch.setattr(SessionStore, "save", full)
    page.raise_request_exception = False
    assert press(page)["HX-Redirect"] == DETAIL
    assert killed()


def test_a_feature_without_code_is_stopped(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise SyntaxError("invalid syntax")

    monkeypatch.setattr(registry, "all_features", broken)
    assert "summarize (its code does not load)" in page.get(STOP, headers=HTMX).text
    assert press(page)["HX-Redirect"] == DETAIL
    assert killed()


def test_a_feature_that_the_code_lacks_is_stopped_in_admin(page: Client) -> None:
    FeatureControl.objects.create(feature="gone", prompt_version="v9")
    detail, stop = (f"/admin/aifeature/featurecontrol/gone/{what}/" for what in ("change", "stop"))
    assert stop in page.get(detail).text
    press(page, stop)
    assert killed("gone")


def test_a_defect_names_the_command(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: Any, **__: Any) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(switch, "stop", defect)
    answer = press(page)
    assert_shown_in_the_dialog(answer)
    assert "manage.py kill_switch stop summarize" in answer.text


def test_a_sign_in_that_is_closed_after_too_many_attempts_names_the_command(sam: User) -> None:
    """A signed-in user is not locked out."""
    inside, outside = Client(), Client()
    inside.force_login(sam)
    for _ in range(5):
        refused = outside.post(LOGIN, {"username": "sam", "password": "wrong"})
    assert refused.status_code == 429
    assert "manage.py kill_switch needs no sign-in" in refused.text
    assert press(inside)["HX-Redirect"] == DETAIL
    assert killed()
