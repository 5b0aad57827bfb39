"""Synthetic data: loaded once into an unused database, its sums right, each page labelled."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from aifeature import registry
from aifeature.models import Alert, Canary, DemoData, Job, Ramp, reconciliation
from aifeature.models.functions import database_now
from aifeature.services.promotion import RefusedError as NotActivatedError
from aifeature.services.promotion import activations
from aifeature.services.rollout import canaries
from aifeature.services.stores import demo_data
from project import local_features
from project.demo_data import loading, rules
from project.demo_data.story import DAYS, TRIAGE
from tests.integration.job_rows import MakeJob

pytestmark = pytest.mark.django_db

LABEL = "Synthetic data:"


def test_a_load_has_right_sums_and_labels_each_page(client: Client) -> None:
    facts = loading.load(days=4, weeks=1, scale=0.1)
    assert facts["jobs"] == Job.objects.of_users().count() > 50
    first = Job.objects.earliest("created_at").created_at.date()
    assert reconciliation.reconcile(first, repair=False) == []
    assert local_features.has_demo_users_only()
    assert not any(user.has_usable_password() for user in User.objects.all())
    _the_story_stands()

    jobs = Job.objects.count()
    with pytest.raises(rules.RefusedError, match="are of today"):
        loading.load()
    assert Job.objects.count() == jobs

    demo_data.reader.forget()
    staff = User.objects.get(username="staff")
    User.objects.filter(pk=staff.pk).update(is_staff=True, is_superuser=True)
    assert LABEL in client.get(reverse("admin:login")).text
    client.force_login(staff)
    for address in (reverse("start"), reverse("admin:index"), reverse("api:openapi-json")):
        assert LABEL in client.get(address).text, address
    assert LABEL in client.get("/nothing-here/").text


def _the_story_stands() -> None:
    assert not Alert.objects.filter(closed_at=None).exists()
    assert canaries.check().ok
    assert Canary.objects.get().state == Canary.State.RUNNING
    assert Ramp.objects.get().hold_reason
    with pytest.raises(NotActivatedError, match="did not pass"):
        activations.activate(TRIAGE, "v2", reason="Try it.", check_name="test")
    assert local_features.why_not(registry.get(TRIAGE))


def test_a_real_provider_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.AIFEATURE, "PROVIDER", "anthropic")
    with pytest.raises(rules.RefusedError, match="real provider"):
        loading.load()
    DemoData.objects.create(ended_loading_at=database_now())
    demo_data.reader.forget()
    assert demo_data.reader.before() is None


def test_a_database_that_is_in_use_gets_none(make_job: MakeJob, ada: User) -> None:
    person = User.objects.create_user("eve", email="eve@example.org")
    with pytest.raises(rules.RefusedError, match="users of its own"):
        loading.load()
    User.objects.filter(pk__in=[person.pk, ada.pk]).update(email="eve@demo.invalid")
    make_job()
    with pytest.raises(rules.RefusedError, match="requests of users"):
        loading.load()


def test_a_load_that_broke_off_is_named() -> None:
    DemoData.objects.create()
    with pytest.raises(rules.RefusedError, match="broke off"):
        loading.load(days=DAYS)
