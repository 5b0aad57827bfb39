"""Emptying a table is refused like deleting its rows."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction

from aifeature.models import ControlChange, FeatureControl
from tests.integration.jobs.conftest import MakeJob

TABLES = (
    *("aifeature_job", "aifeature_attempt", "aifeature_spendwindow", "aifeature_controlchange"),
    *("aifeature_featurecontrol", "aifeature_modelcontrol", "aifeature_rateoverride"),
    *("aifeature_launch", "auth_user"),
)


@pytest.mark.parametrize("table", TABLES)
def test_no_record_is_emptied(make_job: MakeJob, ada: User, table: str) -> None:
    job = make_job()
    FeatureControl.objects.create(feature="summarize")
    ControlChange.objects.create(feature="summarize", field="stage", reason="r", user=ada)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL aifeature.may_truncate = 'no'")
        with pytest.raises(IntegrityError, match="emptying it is refused"), transaction.atomic():
            cursor.execute(f"TRUNCATE {table} CASCADE")
    job.refresh_from_db()
    assert FeatureControl.objects.exists()
    assert ControlChange.objects.exists()
