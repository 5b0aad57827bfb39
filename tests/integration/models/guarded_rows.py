"""Guarded rows, and writes that try to change them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, models, transaction
from django.db.models.functions import Now

from aifeature.models import TERMINAL, Status

SECRET = "a secret of the user"


def of_status(status: Status) -> dict[str, Any]:
    """Return the columns that belong to a status."""
    return {
        "status": status,
        "lease_until": Now() + timedelta(seconds=15) if status is Status.RUNNING else None,
        "finished_at": Now() if status in TERMINAL else None,
        **(
            {"approval_expires_at": Now() + timedelta(days=3)}
            if status is Status.NEEDS_APPROVAL
            else {}
        ),
    }


def change(row: models.Model, **values: Any) -> None:
    """Make one UPDATE, past all services."""
    with transaction.atomic():
        type(row)._default_manager.filter(pk=row.pk).update(**values)


def refused(row: models.Model, what: str, **values: Any) -> str:
    """Check that the UPDATE is refused for this reason and changes nothing. Return the message."""
    before = type(row)._default_manager.filter(pk=row.pk).values().get()
    with pytest.raises(IntegrityError, match=re.escape(what)) as error:
        change(row, **values)
    assert type(row)._default_manager.filter(pk=row.pk).values().get() == before
    return str(error.value)


def other(row: models.Model, name: str) -> Any:
    """Return another value of the column that is not empty."""
    field = row._meta.get_field(name)
    now: Any = getattr(row, name)
    value: Any = {"status": Status.RUNNING, "state": "failed"}.get(name, "other")
    match field:
        case models.ForeignKey(related_model=related) if related is User:
            value = User.objects.create_user("eve").pk
        case models.ForeignKey() | models.UUIDField():
            value = uuid4()
        case models.BooleanField():
            value = not now
        case models.DateTimeField():
            value = Now() - timedelta(days=9)
        case models.DateField():
            value = now + timedelta(days=1)
        case models.JSONField():
            value = {"other": "content"}
        case models.IntegerField():
            value = (now or 0) + 1
    return value
