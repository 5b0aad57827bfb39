"""The title of a row in the history is the beginning of the text that the user sent."""

from __future__ import annotations

import html
import logging
import re
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from aifeature.models import Job, Status
from aifeature.web import titles
from tests.browser import scenes
from tests.integration.fuzz.values import thorough

pytestmark = pytest.mark.slow

SENTENCE = "A zebra crossed the street."
ROW = re.compile(r'<div class="row-main">(.*?)</div>', re.DOTALL)
TITLE = re.compile(r'<a href="[^"]*" dir="auto">(.*?)</a>', re.DOTALL)


def title_on(client: Client, path: str = "/jobs/") -> str:
    (found,) = TITLE.findall(client.get(path).text)
    return html.unescape(found)


@thorough(60)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_the_title_is_the_beginning_of_the_text(client: Client, opened: None, text: str) -> None:
    user = User.objects.create_user(uuid4().hex)
    client.force_login(user)
    scenes.job(user, Status.SUCCEEDED, document=text)
    read = text.strip(" \n\r\t")[: titles.READ]
    for path in ["/jobs/", "/"]:
        assert title_on(client, path) == (titles.shortened(read) or "Summarise a document")


def test_the_feature_is_named_below_the_title(ada_client: Client, ada: User) -> None:
    scenes.job(ada, Status.SUCCEEDED)
    (row,) = ROW.findall(ada_client.get("/jobs/").text)
    assert row.index("The parcel for the Lisbon office") < row.index("Summarise a document")


@pytest.mark.parametrize(
    ("sent", "title"),
    [
        ({"tone": "formal", "document": SENTENCE}, SENTENCE),
        ({"a": {"b": ["x", {"c": SENTENCE}]}, "n": 12}, SENTENCE),
        ({"lines": [SENTENCE, "No."]}, SENTENCE),
        *((sent, "Old one") for sent in ({}, {"n": 12}, {"text": ""}, {"text": " \n"})),
    ],
)
def test_without_a_feature_text_or_slug_is_the_title(
    ada_client: Client, ada: User, sent: dict[str, Any], title: str
) -> None:
    now = timezone.now()
    Job.objects.create(user=ada, feature="old_one", input=sent, deadline_at=now)
    assert title_on(ada_client) == title


def test_a_title_is_escaped(
    ada_client: Client, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    scenes.job(ada, Status.SUCCEEDED, document="<script>alert('zebra')</script>")
    page = ada_client.get("/jobs/").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(&#x27;zebra&#x27;)" in page
    assert "zebra" not in caplog.text


def test_a_deleted_text_is_no_title(ada_client: Client, ada: User) -> None:
    job = scenes.job(ada, Status.SUCCEEDED)
    Job.objects.filter(pk=job.pk).update(input=None, content_blanked_at=timezone.now())
    (row,) = ROW.findall(ada_client.get("/jobs/").text)
    assert title_on(ada_client) == "Summarise a document"
    assert "Its text was deleted on" in row
