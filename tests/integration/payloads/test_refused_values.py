"""A value that some layer would not keep is refused, and its field is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from aifeature.models import Job
from tests.integration.api.api_jobs import bearer
from tests.integration.fuzz.values import thorough
from tests.integration.payloads.conftest import Install
from tests.unit.payloads.test_json_values import ODD, placed, steps

URL = "/api/v1/features/summarize/jobs"
FORM = "/f/summarize/"


class Inner(BaseModel):
    part: Any = None


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")
    document: str = "A text to read."
    anything: Any = None
    inner: list[Inner] = []


class Answer(BaseModel):
    summary: str = Field(description="A summary.")


@pytest.fixture
def client(install: Install, ada: User, opened: None) -> Client:
    install(Asked, Answer)
    return bearer(ada)


def post(client: Client, raw: str) -> Any:
    return client.post(URL, raw.encode(), content_type="application/json")


@thorough(60)
@given(odd=st.sampled_from(sorted(ODD)), path=steps)
def test_it_is_refused_with_its_field(client: Client, odd: str, path: list[Any]) -> None:
    value = placed(odd, path)
    for raw, field in (
        (f'{{"input": {{"anything": {value}}}}}', "anything"),
        (f'{{"input": {{"document": {value}}}}}', "document"),
        (f'{{"input": {{"inner": [{{}}, {{"part": {value}}}]}}}}', "inner.1.part"),
    ):
        response = post(client, raw)
        assert response.status_code == 422, (response.status_code, raw[:200])
        (error,) = response.json()["errors"]
        assert error["field"] == field or error["field"].startswith(f"{field}.")
        assert error["message"] == ODD[odd]
    assert not Job.objects.exists()


@thorough(30)
@given(odd=st.sampled_from(sorted(ODD)), path=steps)
def test_a_page_shows_it_at_its_field(client: Client, ada: User, odd: str, path: list[Any]) -> None:
    browser = Client()
    browser.force_login(ada)
    page: Any = browser.post(FORM, {"in-document": "Text.", "in-anything": placed(odd, path)})
    assert page.status_code == 422
    assert list(page.context["form"].errors) == ["anything"]
    assert not Job.objects.exists()


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_a_depth_that_no_parser_reads_is_refused(client: Client, depth: int) -> None:
    response = post(client, f'{{"input": {{"anything": {"[" * depth}{"]" * depth}}}}}')
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["field"] in {"anything", "input"} or error["field"].startswith("anything.")
    assert "levels deep" in error["message"]


def test_numbers_at_the_edge_are_kept(client: Client) -> None:
    edge = [2**53 + 1, 10**307, -(10**307), 1.7976931348623157e308, 5e-324, 0.1, 1e22]
    response = post(client, json.dumps({"input": {"anything": edge}}))
    assert response.status_code == 202
    value: Any = Job.objects.get().input
    stored = value["anything"]
    assert [float(number) for number in stored] == [float(number) for number in edge]
    assert stored[:3] == edge[:3]
