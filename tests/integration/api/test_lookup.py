"""A compiled query returns the same rows as the ORM."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model, QuerySet
from django.test.utils import CaptureQueriesContext

from aifeature.models import ApiToken, Job, Status
from aifeature.models.lookup import Lookup, Parameter
from tests.integration.api.api_jobs import job


def fields(row: Model) -> dict[str, object]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_a_row_has_every_field_and_that_of_its_key_too(ada: User) -> None:
    row, _ = ApiToken.issue(user_id=ada.pk, name="of a test", features=["summarize"])
    find = Lookup(
        lambda: ApiToken.objects.valid().filter(digest=Parameter("text")), related="user"
    ).find
    with CaptureQueriesContext(connection) as asked:
        found = find(text=row.digest)
        assert found is not None
        owner = found.user
    assert len(asked) == 1
    assert fields(found) == fields(ApiToken.objects.get(pk=row.pk))
    assert fields(owner) == fields(User.objects.get(pk=ada.pk))
    assert find(text="another") is None
    ApiToken.objects.filter(pk=row.pk).revoke()
    assert find(text=row.digest) is None


def test_json_comes_back_as_it_went_in_and_a_row_can_be_saved(ada: User) -> None:
    row = job(ada, Status.SUCCEEDED, result={"summary": "é", "key_facts": [None, 1.5]})
    found = Lookup(lambda: Job.objects.filter(id=Parameter("id"))).find(id=row.id)
    assert found is not None
    assert fields(found) == fields(Job.objects.get(id=row.id))
    found.save(update_fields=["error_message"])


def test_the_query_is_compiled_once(ada: User) -> None:
    made = []

    def rows() -> QuerySet[Job]:
        made.append(1)
        return Job.objects.filter(id=Parameter("id"), user_id=Parameter("user"))

    mine, lookup = job(ada), Lookup(rows)
    assert [lookup.find(id=mine.id, user=ada.pk), lookup.find(id=mine.id, user=0)] == [mine, None]
    assert lookup.find(id=uuid4(), user=ada.pk) is None
    assert len(made) == 1
    with pytest.raises(KeyError, match="user"):
        lookup.find(id=mine.id)
