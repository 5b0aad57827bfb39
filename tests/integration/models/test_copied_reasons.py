"""The migration that copies the reasons of waiting jobs into their new column."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.db import connection
from django.db.models.functions import Now

from aifeature.models import Job
from tests.integration.job_rows import MakeJob

pytestmark = pytest.mark.usefixtures("committed")

COPY = import_module("aifeature.migrations.0039_copy_wait_reasons").Migration.operations[0].sql


def test_each_waiting_job_gets_its_reason(make_job: MakeJob) -> None:
    waiting, new = make_job(), make_job()
    failed = make_job(status="failed", error_code="poison", finished_at=Now())
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # without the trigger
        Job.objects.filter(pk=waiting.pk).update(error_code="provider_waiting")
        cursor.execute("RESET session_replication_role")
        cursor.execute(COPY)
    found = dict(Job.objects.values_list("pk", "wait_reason"))
    assert found == {waiting.pk: "provider_waiting", new.pk: "", failed.pk: ""}
