"""Conditions of the steps in the database. Each takes the beginning of the tour."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db.models import Exists, OuterRef, Q, QuerySet

from aifeature import registry
from aifeature.models import Attempt, AttemptState, ControlChange, Feedback, Job, Status
from aifeature.services import controls
from aifeature.services.promotion import refusals

OF_THE_STACK: Final = "demo:"
"""Beginning of the idempotency key of the job that `make demo` sends by itself."""


def sent(since: datetime) -> bool:
    """Return whether a person sent a request in a form, or a program one with a key."""
    return _sent(since).exists()


def broken(since: datetime) -> bool:
    """Return whether a call for a user failed at the provider."""
    calls = Attempt.objects.of_users().filter(started_at__gte=since)
    return calls.filter(state=AttemptState.FAILED).exists()


def fell_back(since: datetime) -> bool:
    """Return whether such a request got the simple answer, or that of another model."""
    failed = Attempt.objects.of_users().filter(job=OuterRef("pk"), state=AttemptState.FAILED)
    other = failed.exclude(model=OuterRef("model"))
    answered = _sent(since).filter(status=Status.SUCCEEDED)
    return answered.filter(Q(degraded=True) | Exists(other)).exists()


def stopped(since: datetime) -> bool:
    """Return whether a person pulled a kill switch."""
    return _changes(since).filter(field="killed", new="True").exists()


def released(since: datetime) -> bool:
    """Return whether a person released a kill switch, for all users or for some."""
    return _changes(since).filter(field="killed", old="True", new="False").exists()


def rated(since: datetime) -> bool:
    return Feedback.objects.filter(changed_at__gte=since).exists()


def refused(since: datetime) -> bool:
    """Return whether the gate refused to make a prompt live for a person."""
    return _changes(since).filter(field=refusals.FIELD).exists()


def _sent(since: datetime) -> QuerySet[Job]:
    """Return jobs that a person sent. Those of the panel's crowd have no key."""
    with_key = Job.objects.of_users().filter(idempotency_key__isnull=False)
    return with_key.filter(created_at__gte=since).exclude(idempotency_key__startswith=OF_THE_STACK)


def _changes(since: datetime) -> QuerySet[ControlChange]:
    """Return the changes of controls by people."""
    names = [*registry.all_features(), controls.GLOBAL]  # for the index
    by_people = ControlChange.objects.filter(user__isnull=False, feature__in=names)
    return by_people.filter(at__gte=since)
