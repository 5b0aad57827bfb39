"""Sends every request of admin as one member of staff, and returns what they obtained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from uuid import uuid4

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Model
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode

from aifeature.models import (
    AccessBlock,
    Activation,
    Alert,
    AlertChannel,
    ApiToken,
    Attempt,
    ControlChange,
    Delivery,
    FeatureControl,
    Job,
    Launch,
    ModelControl,
    RateOverride,
    Silence,
    Worker,
)
from tests.integration.admin.confirming import is_asking, sent_again

TABLES: Final[dict[str, tuple[type[Model], tuple[str, ...]]]] = {
    "accounts": (User, ("username", "is_active", "email")),
    "jobs": (Job, ("status", "input")),
    "ledger": (Attempt, ("state", "cost_micro", "output")),
    "controls": (FeatureControl, ("stage", "percent", "user_daily_budget_usd")),
    "switches": (FeatureControl, ("killed", "release_percent")),
    "live": (Activation, ("feature", "version", "kind")),
    "breakers": (ModelControl, ("forced",)),
    "rates": (RateOverride, ("feature", "in_flight", "reason")),
    "blocks": (AccessBlock, ("feature", "message", "reason")),
    "launches": (Launch, ("feature", "factor")),
    "handling": (Alert, ("acknowledged_at", "assigned_to")),
    "silences": (Silence, ("kind", "until", "lifted_at")),
    "channels": (AlertChannel, ("name", "address", "is_enabled", "is_escalation")),
    "messages": (Delivery, ("event", "state")),
    "workers": (Worker, ("slots",)),
    "trail": (ControlChange, ("feature", "field", "new")),
    "tokens": (ApiToken, ("user_id", "revoked_at")),
    "rights": (User, ("is_staff", "is_superuser")),
    "passwords": (User, ("password",)),
}
"""Things worth stealing, with the columns that show a change. A test checks the schedule."""


@dataclass
class Loot:
    """The things that a thief obtained."""

    changed: set[str] = field(default_factory=set)
    """Names of `TABLES` that are not as before, and `read` if content of a job was shown."""

    refused: int = 0


@dataclass
class World:
    """Rows to steal, and words that must not be read."""

    customer: User
    colleague: User
    boss: User
    rows: list[Model]
    content: str

    @cached_property
    def permissions(self) -> list[int]:
        """Every permission that exists."""
        return list(Permission.objects.values_list("pk", flat=True))

    def snapshot(self) -> dict[str, Any]:
        """Return the present state of all tables."""
        found: dict[str, Any] = {
            name: list(model._default_manager.order_by("pk").values_list("pk", *columns))
            for name, (model, columns) in TABLES.items()
        }
        found["passwords"] = [row for row in found["passwords"] if row[0] in self._known()]
        found["rights"] = (
            [row for row in found["rights"] if row[0] in self._known() or any(row[1:])],
            sorted(User.groups.through.objects.values_list("user_id", "group_id")),
            sorted(User.user_permissions.through.objects.values_list("user_id", "permission_id")),
            sorted(Group.permissions.through.objects.values_list("group_id", "permission_id")),
            sorted(Group.objects.values_list("pk", "name")),
        )
        return found

    def _known(self) -> set[int]:
        return {self.customer.pk, self.colleague.pk, self.boss.pk}


def thief(codenames: Iterable[str]) -> Client:
    """Return a browser of a member of staff with just these permissions."""
    user = User.objects.create_user(f"thief{uuid4().hex[:6]}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=list(codenames)))
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def addresses(world: World, models: Iterable[type[Model]]) -> Iterator[str]:
    """Yield every address of admin about these models, each with every row there is."""
    for model in models:
        urls = admin.site._registry[model].get_urls()
        names = {name for url in urls if (name := getattr(url, "name", None))}
        names |= {"auth_user_password_change"} if model is User else set()
        for name in sorted(names):
            for args in [(), *((row.pk,) for row in world.rows if isinstance(row, model))]:
                try:
                    yield reverse(f"admin:{name}", args=args)
                except NoReverseMatch:
                    continue


def rob(
    client: Client,
    world: World,
    addresses: Iterable[str],
    *,
    blindly: Iterable[str] = (),
    extra: dict[str, Any] | None = None,
) -> Loot:
    """Request each address, send each form with all it takes, and return what changed.

    The addresses of `blindly` get all fields that grant something, also those without a form.
    """
    before, loot, extra = world.snapshot(), Loot(), extra or {}
    for address in blindly:
        _look(_post(client, address, {**greed(world), **extra}), address, world, loot)
    for address in addresses:
        seen = client.get(address)
        _look(seen, address, world, loot)
        data = {**greed(world), **_fields(seen, world), **extra}
        _look(_post(client, address, data), address, world, loot)
        for action in _actions(seen):
            chosen = [str(row.pk) for row in world.rows]
            sent = {**data, "action": action, "_selected_action": chosen}
            _look(_post(client, address, sent), address, world, loot)
    after = world.snapshot()
    loot.changed |= {name for name in before if before[name] != after[name]}
    return loot


def _post(client: Client, address: str, data: dict[str, Any]) -> Any:
    """Send a form, and confirm it, as a browser does.

    The multipart encoding takes longer to write and to read.
    """
    body = urlencode(data, doseq=True)
    kind = "application/x-www-form-urlencoded"
    answer = client.post(address, body, content_type=kind)
    if is_asking(answer):
        again = urlencode(sent_again(answer.text), doseq=True)
        answer = client.post(address, again, content_type=kind)
    return answer


def greed(world: World) -> dict[str, Any]:
    """Return fields that grant something, whether or not a form shows them."""
    word = "correct-horse-battery-staple"
    return {
        "is_superuser": "on", "is_staff": "on", "is_active": "on",
        "groups": list(Group.objects.values_list("pk", flat=True)),
        "user_permissions": world.permissions, "permissions": world.permissions,
        "password": word, "password1": word, "password2": word, "usable_password": "true",
        "username": f"new{uuid4().hex[:6]}", "user": world.customer.pk, "name": uuid4().hex[:8],
        "reason": "Because.", "mode": "hold", "percent": "100", "post": "yes",
        "version": "v4", "hours": "2", "row": "0", "lasts": "1", "to": world.boss.pk,
        "kind": "webhook", "new_address": "https://hooks.example/",
        "_form_submitted": "on", "_save": "Save",
    }  # fmt: skip


def _fields(seen: Any, world: World) -> dict[str, Any]:
    """Return what a form holds, with everything in it chosen."""
    if getattr(seen, "context", None) is None or "adminform" not in seen.context:
        return {}
    found: dict[str, Any] = {}
    for bound in seen.context["adminform"].form:
        value = _most(bound.field, bound.value(), world)
        widget = bound.field.widget
        if isinstance(widget, forms.MultiWidget) and not isinstance(value, list):
            parts = widget.decompress(value) or []
            found |= {f"{bound.html_name}_{n}": part or "" for n, part in enumerate(parts)}
        elif value is not None:
            found[bound.html_name] = value
    for inline in seen.context.get("inline_admin_formsets") or []:
        management = inline.formset.management_form
        found |= {f"{management.prefix}-{k}": v for k, v in management.initial.items()}
    return found


def _most(item: forms.Field, value: Any, world: World) -> Any:
    if isinstance(item, forms.ModelMultipleChoiceField):
        return [row.pk for row in item.queryset]  # type: ignore[union-attr]
    if isinstance(item, forms.BooleanField):
        return "on"
    if isinstance(item, forms.EmailField):
        return f"{uuid4().hex[:8]}@example.org"
    if isinstance(item, forms.ModelChoiceField):
        wanted = [row.pk for row in item.queryset]  # type: ignore[union-attr]
        return world.customer.pk if world.customer.pk in wanted else next(iter(wanted), "")
    if isinstance(item, forms.CharField) and value in {None, ""} and item.required:
        return uuid4().hex[:8]
    return value


def _actions(seen: Any) -> list[str]:
    if getattr(seen, "context", None) is None:
        return []
    form = seen.context.get("action_form")
    return [value for value, _ in form.fields["action"].choices if value] if form else []


def _look(seen: Any, address: str, world: World, loot: Loot) -> None:
    loot.refused += seen.status_code == 403
    text = seen.content.decode(errors="replace")
    if world.content in text:
        loot.changed.add("read")
    for person in (world.customer, world.colleague, world.boss):
        assert person.password[-20:] not in text, f"{address} shows the hash of a password"
