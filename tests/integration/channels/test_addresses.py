"""Addresses: checked when they are saved, stored encrypted, never shown or logged."""

from __future__ import annotations

import ast
import json
import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.contrib.auth.models import User
from django.test import override_settings
from standardwebhooks import Webhook

from aifeature.models import AlertChannel, ControlChange, Delivery
from aifeature.services.channels import deliveries, register, services_by_apprise, webhooks
from aifeature.services.channels.messages import Message
from aifeature.services.channels.problems import AddressError, SendError
from tests.integration.channels.receiver import http_receiver, smtp_receiver

SECRET = "TIiajkdnlazkcOXrIdevi7FQ"
MESSAGE = Message(uuid4(), "alert.began", "Alert: drift", ("Off by <7>.",), datetime.now(UTC))

HOSTILE = [
    ("webhook", "file:///etc/passwd", "begins with https://"),
    ("webhook", "javascript:alert(1)", "begins with https://"),
    ("webhook", "https://user:pw@hooks.example/", "Remove the user"),
    ("webhook", "http://169.254.169.254/latest/meta-data", "No receiver has this address"),
    ("webhook", "http://[::ffff:169.254.169.254]/", "No receiver has this address"),
    ("webhook", "http://2852039166/", "No receiver has this address"),
    ("webhook", "http://0xa9.254.43518/", "No receiver has this address"),
    ("apprise", "json://169.254.169.254/", "No receiver has this address"),
    ("webhook", "http://0.0.0.0:80/", "No receiver has this address"),
    ("webhook", "https://hooks.example/a b", "a character that no address has"),
    ("webhook", "https://hooks.example/\r\nx-evil: 1", "a character that no address has"),
    ("webhook", "https://hooks.example:0/", "Port 0"),
    ("webhook", "https://hooks.example:99999/", "not an address"),
    ("webhook", "https://hooks.example/#part", "Remove the part after #"),
    ("webhook", "https://hooks.example/" + "a" * 500, "longer than"),
    ("apprise", "syslog://", "not supported"),
    ("apprise", "dbus://", "not supported"),
    ("apprise", "windows://", "not supported"),
    ("apprise", "macosx://", "not supported"),
    ("apprise", "file:///etc/passwd", "not supported"),
    ("apprise", "apprise://host/token", "not supported"),
    ("apprise", "https://hooks.slack.com/services/A/B/C", "choose the kind webhook"),
    ("apprise", "workflows://h/a/b?template=/etc/passwd", "Remove the parameter template"),
    ("apprise", "workflows://h/a/b?%54emplate=/etc/passwd", "Remove the parameter template"),
    ("apprise", f"slack://T1JJ3T3L2/A1BRTD4JD/{SECRET}#a?template=/x", "parameter template"),
    ("apprise", "mailtos://a:b@example.com?pgp=yes", "Remove the parameter pgp"),
    ("apprise", "jsons://host/?redirect=yes", "Remove the parameter redirect"),
    ("apprise", "slack://too/short", "is missing or wrong"),
    ("apprise", "json://host/\nx", "an invisible character"),
]

MASKED = {
    "https://hooks.example:8443/SECRET?key=SECRET": "https://hooks.example:8443",
    f"slack://T1JJ3T3L2/A1BRTD4JD/{SECRET}": "slack://T...2/A...D/T...Q",
    "mailtos://person:SECRET@example.com/person@example.com": "mailtos://****@example.com",
    "json://u:SECRET@host/SECRET?+X-Auth=SECRET": "json://****",
    "ntfys://tk_SECRET@ntfy.sh/SECRET": "ntfys://****",
    "pagerduty://SECRETabcdefSECRETab@SECRETabcdefSECRETab": "pagerduty://****@****",
    "tgram://123456789:abcdefg_hijklmnop_qrstuvwxyzSECRET/1": "tgram://1...T/1",
    "tgram://2852039166:abcdefg_hijklmnop_qrstuvwxyzSECRET/1": "tgram://2...T/1",
    "gotifys://host/SECRETabcdefgh1": "gotifys://host/S...1",
    "discord://123456789/SECRETSECRETSECRET": "discord://1...9/S...T",
}
"""Addresses, and the beginning of what is shown of them."""


@pytest.mark.parametrize(("kind", "address", "fix"), HOSTILE)
def test_an_address_that_cannot_be_used_is_refused_with_its_fix(
    kind: str, address: str, fix: str
) -> None:
    with pytest.raises(AddressError, match=re.escape(fix)) as caught:
        register.checked(kind, address)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(("address", "shown"), MASKED.items())
def test_secrets_of_an_address_are_not_shown(address: str, shown: str) -> None:
    kind = "webhook" if address.startswith("https") else "apprise"
    plain, found = register.checked(kind, f" {address} ")
    assert plain == address
    assert found.startswith(shown)
    assert "SECRET" not in found
    assert SECRET not in found
    assert "person" not in found


def test_each_service_is_allowed_for_a_reason() -> None:
    """A new version of the library may add a parameter that names a file of this machine."""
    named = ("attach", "file", "path", "pgp", "pem", "template", "cert")
    for scheme in services_by_apprise.SERVICES:
        arguments = services_by_apprise._plugin(scheme).template_args
        found = {name for name in arguments if any(part in name for part in named)}
        harmless = {("matrix", "path"), ("matrixs", "path"), ("splunk", "template")}
        assert {name for name in found if (scheme, name) not in harmless} <= (
            services_by_apprise.REFUSED
        ), scheme


def test_a_webhook_is_signed_and_carries_the_same_id_at_each_try() -> None:
    secret = webhooks.new_secret()
    with http_receiver() as receiver:
        address, _ = webhooks.checked(f"http://127.0.0.1:{receiver.port}/alerts?key=5")
        for _ in range(2):
            webhooks.send(address, secret, MESSAGE, at=datetime.now(UTC))
        found = [Webhook(secret).verify(body, headers) for headers, body in receiver.requests]
        assert [each["type"] for each in found] == ["alert.began"] * 2
        assert "Off by <7>." in found[0]["data"]["text"]
        ids = {
            {name.lower(): value for name, value in headers.items()}["webhook-id"]
            for headers, _ in receiver.requests
        }
        assert ids == {f"msg_{MESSAGE.id.hex}"}
        receiver.status, receiver.location = 302, f"http://127.0.0.1:{receiver.port}/other"
        with pytest.raises(SendError, match="redirects"):
            webhooks.send(address, secret, MESSAGE, at=datetime.now(UTC))
        receiver.status = 503
        with pytest.raises(SendError, match="status 503"):
            webhooks.send(address, secret, MESSAGE, at=datetime.now(UTC))
        assert len(receiver.requests) == 4
    with pytest.raises(SendError, match="could not be reached") as caught:
        webhooks.send(address, secret, MESSAGE, at=datetime.now(UTC))
    assert "key=5" not in str(caught.value)


def test_apprise_sends_mails_and_other_messages_and_logs_no_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with smtp_receiver() as mails, http_receiver() as hooks:
        to = f"mailto://127.0.0.1:{mails.port}?from=a@example.com&to=b@example.com&mode=insecure"
        services_by_apprise.send(services_by_apprise.checked(to)[0], MESSAGE)
        assert "Alert: drift" in mails.mails[0]
        assert "text/plain" in mails.mails[0]
        assert "text/html" not in mails.mails[0]
        address = f"json://127.0.0.1:{hooks.port}/{SECRET}"
        services_by_apprise.send(address, MESSAGE)
        assert str(MESSAGE.id) in json.loads(hooks.requests[0][1])["message"]
        hooks.status = 401
        with pytest.raises(SendError, match="status 401"):
            services_by_apprise.send(address, MESSAGE)
        hooks.status, hooks.location = 302, f"http://127.0.0.1:{hooks.port}/other"
        with pytest.raises(SendError):
            services_by_apprise.send(address, MESSAGE)
        assert len(hooks.requests) == 3
        hooks.status, hooks.location, hooks.length = 200, "", 1_000
        services_by_apprise.send(address, MESSAGE)
        hooks.length = 50_000_000  # it is not read into memory
        with pytest.raises(SendError):
            services_by_apprise.send(address, MESSAGE)
    assert SECRET not in caplog.text


def test_an_end_closes_the_incident_of_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = []

    def post(_url: str, *, data: str, **_: object) -> None:
        bodies.append(json.loads(data))
        raise OSError

    monkeypatch.setattr("requests.post", post)
    monkeypatch.setattr("requests.Session.request", lambda _s, _m, u, **k: post(u, **k))
    address = "pagerduty://abcdefABCDEFabcdefAB@abcdefABCDEFabcdefAB"
    for kind, title in (("alert.began", "Alert: drift"), ("alert.ended", "Over: drift")):
        made = Message(uuid4(), kind, title, ("Off.",), MESSAGE.at, topic="alert-7")
        with pytest.raises(SendError):
            services_by_apprise.send(address, made)
    assert [body["event_action"] for body in bodies] == ["trigger", "resolve"]
    assert {body["dedup_key"] for body in bodies} == {"aifeature-alert-7"}


@pytest.mark.django_db
def test_address_and_secret_are_stored_encrypted_and_survive_a_new_key(boss: User) -> None:
    channel, secret = register.add(
        name="pager",
        kind="webhook",
        address=f"https://hooks.example/{SECRET}",
        is_escalation=False,
        reason="On-call uses it.",
        user_id=boss.pk,
    )
    assert secret.startswith("whsec_")
    rows = [*AlertChannel.objects.values(), *ControlChange.objects.values()]
    for leaked in (SECRET, secret, secret.removeprefix("whsec_")):
        assert leaked not in str(rows)
    assert SECRET not in repr(register.opened(channel))
    old = "an old key of thirty-two characters."
    with override_settings(SECRET_KEY=Fernet.generate_key().decode()):
        assert "Enter the address again" in register.trouble(channel)
        assert "Enter the address again" in deliveries.send_test(channel)
        assert register.renew() == 0
    with override_settings(SECRET_KEY=old, SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        assert [register.renew(), register.renew()] == [1, 0]
    with override_settings(SECRET_KEY=old):
        channel.refresh_from_db()
        assert register.opened(channel).secret == secret
    assert Delivery.objects.get().state == "given_up"


def test_libraries_of_channels_are_imported_only_where_a_channel_is_used() -> None:
    """Together they need 20 MB and a quarter of a second in each process."""
    for file in Path(register.__file__).parent.glob("*.py"):
        names = [
            name
            for node in ast.parse(file.read_text(encoding="utf-8")).body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (getattr(node, "module", None), *(each.name for each in node.names))
        ]
        found = {str(name).partition(".")[0] for name in names}
        assert not found & {"apprise", "cryptography", "httpx2", "standardwebhooks"}, file
