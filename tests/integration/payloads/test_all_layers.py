"""Generated models and values through submit, storage, prompt, provider, API and pages."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import jsonschema
import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.forms import IntegerField, TypedChoiceField, TypedMultipleChoiceField
from django.http import QueryDict
from django.test import Client
from hypothesis import Phase, assume, given, note, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from aifeature import model_checks
from aifeature.models import Attempt, Job, Status
from aifeature.personal_data import Redactor
from aifeature.services.execution import job_run
from aifeature.services.guards import personal
from aifeature.services.payloads import input_values
from aifeature.web.json_fields import JsonValue, Number
from aifeature.web.schema_fields import Flag
from aifeature.web.schema_form import SchemaForm, form_class
from tests import made_models
from tests.integration.api.api_jobs import bearer
from tests.integration.fuzz.values import thorough
from tests.integration.payloads.conftest import Install
from tests.made_models import Kind
from tests.sandbox_server import SandboxServer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "opened")]

URL = "/api/v1/features/summarize/jobs"
GENERATE = (Phase.explicit, Phase.generate)
"""Without shrinking, which would take minutes: each example runs a job."""

SUBJECT = Kind(str, st.just("The parcel was lost. We sent another one on Monday."))
"""A field of each input that the sandbox can answer about."""


@settings(thorough(25), phases=GENERATE)
@given(data=st.data())
def test_values_survive(install: Install, sandbox: SandboxServer, ada: User, data: Any) -> None:
    fields = {**data.draw(made_models.fields(made_models.all_kinds)), "subject": SUBJECT}
    answers = {**data.draw(made_models.fields(made_models.carried_kinds)), "subject": SUBJECT}
    feature = install(made_models.model(fields), made_models.model(answers))
    assert list(model_checks.problems_of(feature)) == []
    sent = data.draw(made_models.values(fields))
    # By chance, a number may be that of a card, which guards replace.
    assume(personal.redacted(sent, Redactor()) == sent)
    note(f"{sent!r}\n{feature.input_model.model_json_schema()}\n{feature.output_schema}")

    client = bearer(ada)
    client.force_login(ada)
    response = client.post(URL, {"input": sent}, content_type="application/json")
    assert response.status_code == 202, response.content
    job = Job.objects.get(pk=response.json()["id"])
    value = input_values.read(feature.input_model, sent)
    stored = input_values.read(feature.input_model, job.input)
    dumps = (input_values.dumped(stored), input_values.dumped(value))
    assert stored == value or _same(*dumps)  # in JSON, 1e30 and its whole number are one

    job_run.run_feature(job.pk, worker="test")
    job.refresh_from_db()
    assert (job.status, job.attempts) == (Status.SUCCEEDED, 1), job.error_code
    question = _question(job)
    for name, shown in stored.model_dump(mode="json").items():
        text = re.findall(rf"<{name}>\n(.*?)\n</{name}>", question, re.DOTALL)[0]
        text = html.unescape(text)  # as it was escaped for the prompt
        assert text == shown or _same(json.loads(text), shown)

    answered = client.get(f"/api/v1/jobs/{job.pk}").json()["result"]
    assert answered == job.result
    assert isinstance(feature.output_model.model_validate_json(json.dumps(answered)), BaseModel)
    jsonschema.validate(answered, feature.output_schema)
    assert client.get(f"/jobs/{job.pk}/").status_code == 200
    assert client.get("/jobs/").status_code == 200
    assert client.get(f"/f/summarize/?from={job.pk}").status_code == 200


def _question(job: Job) -> str:
    request: Any = Attempt.objects.get(job=job).request
    content: str = request["messages"][0]["content"]
    return content


EXACT = (JsonValue, Number, IntegerField, TypedChoiceField, TypedMultipleChoiceField, Flag)
"""Fields that keep each value. Lines of text lose blanks at their ends."""


@settings(thorough(40), phases=GENERATE)
@given(data=st.data())
def test_a_form_keeps_its_values(install: Install, ada: User, client: Client, data: Any) -> None:
    fields = {**data.draw(made_models.fields(made_models.all_kinds)), "subject": SUBJECT}
    feature = install(made_models.model(fields), made_models.model({"answer": SUBJECT}))
    value = input_values.read(feature.input_model, data.draw(made_models.values(fields)))
    stored = json.loads(json.dumps(input_values.dumped(value)))
    job = Job.objects.create(user=ada, feature="summarize", input=stored, deadline_at=Now())
    client.force_login(ada)
    page: Any = client.get(f"/f/summarize/?from={job.pk}")
    shown: SchemaForm = page.context["form"]
    form = form_class(feature)(_sent_by_a_browser(shown))
    form.is_valid()
    for name, field in form.fields.items():
        note(f"{name}: {type(field).__name__} {shown[name].value()!r} of {stored[name]!r}")
        wanted = stored[name]
        if isinstance(field, TypedMultipleChoiceField) and name in form.nulls:
            wanted = wanted or None  # no box is ticked for either of them
        if isinstance(field, EXACT) and stored[name] is not None:
            assert name not in form.errors
            assert _same(form.value()[name], wanted)


def _same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal; floats by value: 1e30 equals its integer."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return float(one) == float(other)
    return type(one) is type(other) and bool(one == other)


def _sent_by_a_browser(form: SchemaForm) -> QueryDict:
    sent = QueryDict(mutable=True)
    for name in form.fields:
        bound = form[name]
        value = bound.value()
        if isinstance(bound.field, Flag):
            value = "on" if value else None
        if value is not None:
            sent.setlist(bound.html_name, value if isinstance(value, list) else [str(value)])
    return sent
