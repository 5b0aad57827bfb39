"""Channels: add, change, disable, delete. Each change writes an audit row without the address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db import IntegrityError, transaction
from django.db.models import Q

from aifeature.models import AlertChannel, ControlChange
from aifeature.models.functions import database_now
from aifeature.services.alerting.handling import AUDIT_NAME, audit
from aifeature.services.channels import health, later, services_by_apprise, vault, webhooks
from aifeature.services.channels.problems import AddressError

FIELD: Final = "channel"
"""`ControlChange.field` of a channel."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Address and secret of a channel. Never logged or stored."""

    kind: str
    address: str
    secret: str

    def __repr__(self) -> str:
        return f"Opened({self.kind})"


def checked(kind: str, address: str) -> tuple[str, str]:
    """Return an address, and what may be shown of it.

    Raises:
        AddressError: It cannot be used. The text has the fix.
    """
    if kind == AlertChannel.Kind.WEBHOOK:
        return webhooks.checked(address)
    return services_by_apprise.checked(address)


def opened(channel: AlertChannel) -> Opened:
    """Return address and secret of a channel.

    Raises:
        KeyLostError: The key that encrypted them is gone.
    """
    return Opened(channel.kind, vault.decrypted(channel.address), vault.decrypted(channel.secret))


def trouble(channel: AlertChannel) -> str:
    """Return why the stored address cannot be read; an empty text if it can."""
    try:
        opened(channel)
    except vault.KeyLostError as error:
        return str(error)
    return ""


def add(
    *, name: str, kind: str, address: str, is_escalation: bool, reason: str, user_id: int
) -> tuple[AlertChannel, str]:
    """Add a channel. Return it and, of a webhook, its new secret, which is shown only now.

    Raises:
        AddressError: The address cannot be used, or the name is taken.
    """
    plain, shown = checked(kind, address)
    secret = webhooks.new_secret() if kind == AlertChannel.Kind.WEBHOOK else ""
    try:
        with transaction.atomic():
            channel = AlertChannel.objects.create(
                name=name,
                kind=kind,
                address=vault.encrypted(plain),
                secret=vault.encrypted(secret),
                shown=shown,
                is_escalation=is_escalation,
                created_by_id=user_id,
            )
            audit(FIELD, "", in_words(channel), reason=reason, user_id=user_id)
    except IntegrityError:
        raise AddressError(f"There is a channel {name} already: choose another name.") from None
    return channel, secret


def change(
    channel_id: int,
    *,
    name: str,
    is_enabled: bool,
    is_escalation: bool,
    address: str = "",
    renews_secret: bool = False,
    reason: str,
    user_id: int,
) -> str:
    """Change a channel. An empty address keeps the present one. Return a new secret, or "".

    Raises:
        AddressError: The address cannot be used, or the name is taken.
    """
    try:
        with transaction.atomic():
            channel = AlertChannel.objects.select_for_update().get(pk=channel_id)
            before = in_words(channel)
            secret = _renew(channel, address, renews_secret=renews_secret)
            if name != channel.name or not is_enabled:
                health.end_alert(channel.name)
            channel.name, channel.is_escalation = name, is_escalation
            channel.is_enabled = is_enabled
            channel.save()
            if not is_enabled:
                later.drop_of(channel, database_now(), "The channel was disabled.")
            marks = [
                text
                for text, is_new in (("new address", address), ("new secret", secret))
                if is_new
            ]
            after = ", ".join([in_words(channel), *marks])
            audit(FIELD, before, after, reason=reason, user_id=user_id)
    except IntegrityError:
        raise AddressError(f"There is a channel {name} already: choose another name.") from None
    return secret


def delete(channel_id: int, *, reason: str, user_id: int) -> None:
    """Delete a channel with its deliveries. The audit log keeps its name and kind."""
    with transaction.atomic():
        channel = AlertChannel.objects.select_for_update().get(pk=channel_id)
        health.end_alert(channel.name)
        audit(FIELD, in_words(channel), "", reason=reason, user_id=user_id)
        channel.delete()


def in_words(channel: AlertChannel) -> str:
    """Describe a channel without its address."""
    use = "escalation" if channel.is_escalation else "first line"
    state = "enabled" if channel.is_enabled else "disabled"
    return f"{channel.name}: {channel.kind}, {use}, {state}"


def history() -> Q:
    """Return the condition of the audit rows about channels."""
    return Q(feature=AUDIT_NAME, field=FIELD)


def renew() -> int:
    """Encrypt again what an old key encrypted. Return the number of channels."""
    count = 0
    for channel in AlertChannel.objects.all():
        if vault.is_of_newest_key(channel.address) and vault.is_of_newest_key(channel.secret):
            continue
        try:
            found = opened(channel)
        except vault.KeyLostError:
            continue  # the list shows it, and sending fails
        same = AlertChannel.objects.filter(
            pk=channel.pk, address=channel.address, secret=channel.secret
        )
        count += same.update(
            address=vault.encrypted(found.address), secret=vault.encrypted(found.secret)
        )
    return count


def changes() -> list[ControlChange]:
    """Return the latest changes of channels, newest first."""
    return list(ControlChange.objects.filter(history()).select_related("user")[:20])


def _renew(channel: AlertChannel, address: str, *, renews_secret: bool) -> str:
    """Set a new address and secret. Return the secret if it is new."""
    if address:
        plain, channel.shown = checked(channel.kind, address)
        channel.address = vault.encrypted(plain)
        channel.next_at = database_now()
    is_webhook = channel.kind == AlertChannel.Kind.WEBHOOK
    lost = bool(channel.secret) and _is_lost(channel.secret)
    if not is_webhook or not (renews_secret or (address and lost)):
        return ""
    secret = webhooks.new_secret()
    channel.secret = vault.encrypted(secret)
    return secret


def _is_lost(token: str) -> bool:
    try:
        vault.decrypted(token)
    except vault.KeyLostError:
        return True
    return False
