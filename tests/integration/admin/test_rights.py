"""The rights that each permission gives in all of admin, and no others."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask
from hypothesis import given
from hypothesis import strategies as st

from aifeature.models import (
    AccessBlock,
    Alert,
    AlertChannel,
    ApiToken,
    AttemptState,
    FeatureControl,
    GuardEvent,
    ModelControl,
    RateOverride,
    Status,
)
from aifeature.services.watch import broken
from tests import proof
from tests.integration.admin.conftest import MakeAttempt, MakeJob
from tests.integration.admin.heist import World, addresses, greed, rob, thief
from tests.integration.fuzz.values import thorough
from tests.integration.job_rows import make_launch

pytestmark = pytest.mark.slow

OBTAINS: dict[str, set[str]] = {
    "view_job": {"read"},
    "change_job": {"read", "jobs"},
    "requeue_job": {"jobs"},
    "view_attempt": {"read"},
    "change_attempt": {"read"},
    "settle_attempt": {"ledger"},
    "add_user": set(),
    "change_user": {"accounts", "tokens"},
    "delete_user": {"accounts", "tokens"},
    "change_apitoken": {"tokens"},
    "add_apitoken": {"tokens"},
    "add_featurecontrol": set(),
    "change_featurecontrol": {"controls", "trail"},
    "stop_feature": {"switches", "trail"},
    "release_feature": {"switches", "trail"},
    "activate_prompt": {"live", "trail"},
    "override_prompt": {"live"},
    "force_breaker": {"breakers", "trail"},
    "add_rateoverride": {"rates", "trail"},
    "change_rateoverride": {"rates", "trail"},
    "delete_rateoverride": {"rates", "trail"},
    "add_accessblock": {"blocks", "trail"},
    "change_accessblock": {"blocks", "trail"},
    "delete_accessblock": {"blocks", "trail"},
    "add_launch": {"launches", "trail"},
    "change_launch": {"launches", "trail"},
    "delete_launch": {"launches", "trail"},
    "handle_alert": {"handling", "silences", "trail"},
    "send_test_alert": {"messages"},
    "add_alertchannel": {"channels", "trail"},
    "change_alertchannel": {"channels", "trail"},
    "delete_alertchannel": {"channels", "trail"},
    "add_periodictask": {"trail"},
    "change_periodictask": {"trail"},
    "delete_periodictask": {"trail"},
}
"""All that a permission may obtain: nothing for those that are not named."""

OBTAIN_LESS = {"change_job", "requeue_job", "settle_attempt", "change_featurecontrol"}
"""Permissions that allow more than these requests obtain."""

TEMPTING: tuple[type[Model], ...] = (User, Group, ApiToken, PeriodicTask)

CODENAMES = [
    *sorted(
        f"{action}_{model._meta.model_name}"
        for model in admin.site._registry
        for action in ("add", "change", "delete", "view")
    ),
    *("stop_feature", "release_feature", "requeue_job", "settle_attempt", "force_breaker"),
    *("activate_prompt", "override_prompt", "handle_alert", "send_test_alert"),
]


@pytest.fixture
def world(
    page: Client,
    make_job: MakeJob,
    make_attempt: MakeAttempt,
    customer: User,
    boss: User,
) -> World:
    for controlled in (FeatureControl, ModelControl):  # a list creates missing rows
        page.get(reverse(f"admin:aifeature_{controlled._meta.model_name}_changelist"))
    content = "zebra-crossing-canary"
    colleague = User.objects.create_user("colleague", password="their own word", is_staff=True)
    leads = Group.objects.create(name="leads")
    leads.permissions.set(Permission.objects.filter(codename__startswith="change_"))
    colleague.groups.add(leads)
    for person in (customer, boss):
        person.password = make_password("a word of their own")
        person.save()
    failed = make_job(status=Status.FAILED, input={"document": content}, error_code="poison")
    waiting = make_job(input={"document": content})
    call = make_attempt(
        failed, state=AttemptState.UNKNOWN, request={"system": content}, output=content
    )
    proof.evidence("summarize", **proof.of_today("summarize"))
    minute = IntervalSchedule.objects.create(every=1, period="minutes")
    rows: list[Model] = [
        *(customer, colleague, boss, leads, failed, waiting, call),
        FeatureControl.objects.get(feature="summarize"),
        ModelControl.objects.get(model="claude-haiku-5-5"),
        RateOverride.objects.create(user=customer, in_flight=1, reason="r", created_by=boss),
        AccessBlock.objects.create(user=customer, reason="r", created_by=boss),
        GuardEvent.objects.create(
            user=customer,
            job=failed,
            feature="summarize",
            stage="input",
            guard="injection",
            category="override",
            action="tightened",
            evidence="Ignore all of it.",
        ),
        make_launch(),
        Alert.objects.create(kind="drift", subject="global", summary="s"),
        # Its key is lost, so that a test sends nothing.
        AlertChannel.objects.create(name="pager", kind="webhook", address="x", shown="x"),
        PeriodicTask.objects.create(name="tick", task="control.sweep", interval=minute),
        *(minute, CrontabSchedule.objects.create()),
        *(ApiToken.issue(user_id=p.pk, name="n")[0] for p in (customer, colleague, boss)),
    ]
    return World(customer, colleague, boss, rows, content)


def rows_of_schedule_are_ours() -> None:
    for row in PeriodicTask.objects.all():
        assert row.task in broken.task_names()
        assert row.headers == "{}"
        assert not broken.problems(row)


NAMELESS = [codename for codename in CODENAMES if codename not in OBTAINS]
ALIKE = {
    frozenset(loot): [codename for codename in OBTAINS if OBTAINS[codename] == loot]
    for loot in OBTAINS.values()
}
CASES = [*ALIKE.values(), NAMELESS]
"""Permissions that obtain the same are tested together: anything more would still show."""


@pytest.mark.parametrize("codenames", CASES, ids=lambda codenames: codenames[0])
def test_a_permission_obtains_what_it_names_and_no_more(world: World, codenames: list[str]) -> None:
    models = [
        model
        for model in admin.site._registry
        if Permission.objects.filter(
            codename__in=codenames, content_type__model=model._meta.model_name
        ).exists()
    ]
    client = thief(codenames)
    mine = client.session["_auth_user_id"]
    others = [each for each in TEMPTING if each not in models]
    loot = rob(client, world, addresses(world, models), blindly=addresses(world, others))
    allowed = OBTAINS.get(codenames[0], set())
    assert loot.changed <= allowed
    assert loot.changed == allowed or codenames[0] in OBTAIN_LESS, "the requests are valid"
    assert loot.refused
    assert not ApiToken.objects.exclude(user_id__in=[mine, *_people(world)]).exists()
    assert ApiToken.objects.exclude(user_id=mine).count() <= 3, (
        "the thief makes no token of another user"
    )
    rights = (world.colleague, world.boss)
    assert ApiToken.objects.filter(user__in=rights, revoked_at=None).count() == len(rights)
    rows_of_schedule_are_ours()


def _people(world: World) -> list[int]:
    return [world.customer.pk, world.colleague.pk, world.boss.pk]


@thorough(25)
@given(data=st.data())
def test_no_set_of_permissions_grants_another(world: World, data: st.DataObject) -> None:
    codenames = data.draw(st.sets(st.sampled_from(CODENAMES), min_size=1, max_size=6))
    every = sorted(addresses(world, TEMPTING))
    visited = data.draw(st.lists(st.sampled_from(every), min_size=4, max_size=12))
    fields = data.draw(st.sets(st.sampled_from(sorted(greed(world)))))
    extra = {name: greed(world)[name] for name in fields}
    with transaction.atomic():
        client = thief(codenames)
        loot = rob(client, world, visited, extra=extra)
        assert not loot.changed & {"rights", "passwords", "switches", "read"}
        mine = client.session["_auth_user_id"]
        made = ApiToken.objects.exclude(user_id=mine).exclude(user__in=_people(world))
        assert not made.exists()
        assert ApiToken.objects.exclude(user_id=mine).count() <= 3
        rows_of_schedule_are_ours()
        transaction.set_rollback(True)
