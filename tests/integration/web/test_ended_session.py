"""A form sent after its session ended leads to the sign-in; no address contains its text."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from axes.models import AccessAttempt
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from aifeature.models import Job, Status
from aifeature.web import carried, sign_in_reasons
from tests.browser import scenes
from tests.integration.fuzz.values import thorough

pytestmark = pytest.mark.slow

LOGIN = "/accounts/login/"
FORM = "/f/summarize/"
SECRET = "A zebra crossed the street."
UNSENT = "Your session has ended, so nothing was sent."
ENDED = "Your session has ended. Please sign in again to continue."


@pytest.fixture
def carol(opened: None) -> User:
    return scenes.person("carol")


def forms_of(user: User) -> dict[str, str]:
    """The address of each form, by its name."""
    job = scenes.job(user, Status.RUNNING)
    given_values: dict[str, dict[str, Any]] = {
        **{name: {"slug": "summarize"} for name in ("feature", "join_beta", "leave_beta")},
        **{name: {"job_id": job.pk} for name in ("cancel", "rate", "nps", "note_signal")},
        "end_session": {"number": "abc"},
        "revoke_token": {"token_id": 7},
    }
    return {
        name: reverse(name, kwargs=given_values.get(name, {})) for name in sign_in_reasons.PAGES
    }


def _change_the_password(client: Client, user: User) -> None:
    user.set_password("correct horse")
    user.save()


ENDS: dict[str, Callable[[Client, User], object]] = {
    "deleted": lambda _client, _user: Session.objects.all().delete(),
    "password changed": _change_the_password,
    "cookies lost": lambda client, _user: client.cookies.clear(),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", sorted(sign_in_reasons.PAGES))
def test_a_late_form_leads_back_through_the_sign_in(carol: User, end: str, name: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(carol)
    path = forms_of(carol)[name]
    token = client.get("/").cookies["csrftoken"].value
    ENDS[end](client, carol)
    sent = client.post(path, {"in-document": SECRET, "csrfmiddlewaretoken": token})
    assert sent.status_code == 302
    assert "zebra" not in sent["Location"]
    assert urlsplit(sent["Location"]).path == LOGIN
    page = client.get(sent["Location"])
    assert UNSENT in page.text
    assert "zebra" not in page.text

    token = page.cookies["csrftoken"].value if "csrftoken" in page.cookies else token
    signed_in = client.post(
        sent["Location"],
        {
            "username": "carol",
            "password": "correct horse",
            "csrfmiddlewaretoken": token,
            "next": parse_qs(urlsplit(sent["Location"]).query)["next"][0],
        },
    )
    assert signed_in.status_code == 302
    assert client.get(signed_in["Location"]).status_code == 200


def test_a_late_page_shows_that_the_session_has_ended(client: Client, carol: User) -> None:
    client.force_login(carol)
    Session.objects.all().delete()
    answer = client.get("/f/summarize/?from=x")
    assert ENDED in client.get(answer["Location"]).text
    assert parse_qs(urlsplit(answer["Location"]).query)["next"] == ["/f/summarize/?from=x"]


def test_a_part_of_a_page_leads_back_to_the_page_it_is_of(client: Client, carol: User) -> None:
    client.force_login(carol)
    Session.objects.all().delete()
    at = {"HX-Request": "true", "HX-Current-URL": "http://testserver/jobs/?status=failed"}
    where = client.get("/jobs/?q=x", headers=at)["HX-Redirect"]
    assert parse_qs(urlsplit(where).query) == {"next": ["/jobs/?status=failed"], "why": ["ended"]}


def test_a_first_visit_mentions_no_session(client: Client, db: None) -> None:
    start = client.get(client.get("/")["Location"])
    assert "session" not in start.text
    assert "Sign in to use the AI features." in start.text
    inner = client.get(client.get("/jobs/")["Location"])
    assert "Please sign in to open this page." in inner.text


@thorough(50)
@given(why=st.text(), to=st.text(), at=st.text(st.characters(max_codepoint=0xFF)))
def test_invented_reasons_are_not_shown(
    client: Client, db: None, why: str, to: str, at: str
) -> None:
    mark = f"<{uuid4().hex}"
    answer = client.get(LOGIN, {"why": f"{why}{mark}", "next": to})
    assert answer.status_code == 200
    assert mark not in answer.text
    part = client.get("/jobs/", headers={"HX-Request": "true", "HX-Current-URL": at})
    assert part.status_code == 200
    assert urlsplit(part["HX-Redirect"]).path == LOGIN


CARRIED = re.compile(r'name="carried" value="([^"]+)"')


def sent_without_scripts(client: Client, user: User, **fields: str) -> Any:
    """Send a form without scripts after the session has ended, and return the answer."""
    client.force_login(user)
    (typist,) = re.findall(r'name="typist" value="([^"]+)"', client.get(FORM).text)
    Session.objects.all().delete()
    return client.post(FORM, {"in-document": SECRET, "typist": typist, **fields})


def sign_in_with(client: Client, name: str, page: Any, **fields: str) -> Any:
    (text,) = CARRIED.findall(page.text)
    known = {"username": name, "password": "correct horse", "next": FORM, "carried": text}
    return client.post(LOGIN, {**known, **fields})


@pytest.mark.parametrize("text", [SECRET, '<b>&amp;\n"quoted" 👩‍🚀 ' * 2_000])
def test_without_scripts_the_text_is_carried(client: Client, carol: User, text: str) -> None:
    asked = sent_without_scripts(client, carol, **{"in-document": text})
    assert asked.status_code == 200
    assert "no-store" in asked["Cache-Control"]
    assert UNSENT in asked.text
    wrong = sign_in_with(client, "carol", asked, password="wrong")
    welcome = sign_in_with(client, "carol", wrong)
    (handed_on,) = CARRIED.findall(welcome.text)
    page = client.post(FORM, {"carried": handed_on})
    assert html.escape(text.strip()) in page.text
    assert "Here is what you typed before. It was not sent." in page.text
    assert not Job.objects.exists()
    assert "zebra" not in str(AccessAttempt.objects.values())
    assert handed_on[:50] not in str(AccessAttempt.objects.values())


def test_a_form_open_for_a_whole_session_is_carried(
    client: Client, carol: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = time.time() + django_settings.SESSION_COOKIE_AGE - 60
    field = carried.typist(carol)
    monkeypatch.setattr("django.core.signing.time.time", lambda: later)
    asked = client.post(FORM, {"in-document": SECRET, "typist": field})
    assert CARRIED.findall(asked.text)


def test_a_carried_text_is_shown_to_its_user_only(client: Client, carol: User) -> None:
    scenes.person("bob")
    asked = sent_without_scripts(client, carol)
    (text,) = CARRIED.findall(asked.text)
    signed_in = sign_in_with(client, "bob", asked)
    assert (signed_in.status_code, signed_in["Location"]) == (302, FORM)
    for fields in ({"carried": text}, {"carried": text[:-1]}, {"carried": ""}):
        assert "zebra" not in client.post(FORM, fields).text


@thorough(50)
@given(forged=st.text(max_size=80), typist=st.text(max_size=80))
def test_only_signed_text_is_carried(client: Client, carol: User, forged: str, typist: str) -> None:
    sent = client.post(FORM, {"in-document": SECRET, "typist": typist})
    assert (sent.status_code, "zebra" in sent["Location"]) == (302, False)
    page = client.post(LOGIN, {"username": "carol", "password": "wrong", "carried": forged})
    assert page.status_code in {200, 429}
    assert not CARRIED.findall(page.text)
