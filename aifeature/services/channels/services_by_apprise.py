"""E-mail, chats and pagers through the library Apprise.

Only the services of SERVICES can be used, and each is imported alone: the library's other plugins
reach parts of this machine (the desktop, syslog, D-Bus), and all together need much memory.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from functools import lru_cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from aifeature.services.channels import hosts
from aifeature.services.channels.problems import AddressError, SendError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aifeature.services.channels.messages import Message

SERVICES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "betterstack": ("betterstack", "NotifyBetterStack"),
        "discord": ("discord", "NotifyDiscord"),
        "firehydrant": ("firehydrant", "NotifyFireHydrant"),
        "gchat": ("google_chat", "NotifyGoogleChat"),
        "goalert": ("goalert", "NotifyGoAlert"),
        "goalerts": ("goalert", "NotifyGoAlert"),
        "gotify": ("gotify", "NotifyGotify"),
        "gotifys": ("gotify", "NotifyGotify"),
        "ilert": ("ilert", "NotifyILert"),
        "incidentio": ("incidentio", "NotifyIncidentIO"),
        "json": ("custom_json", "NotifyJSON"),
        "jsons": ("custom_json", "NotifyJSON"),
        "mailgun": ("mailgun", "NotifyMailgun"),
        "mailto": ("email.base", "NotifyEmail"),
        "mailtos": ("email.base", "NotifyEmail"),
        "matrix": ("matrix.base", "NotifyMatrix"),
        "matrixs": ("matrix.base", "NotifyMatrix"),
        "mmost": ("mattermost", "NotifyMattermost"),
        "mmosts": ("mattermost", "NotifyMattermost"),
        "ntfy": ("ntfy", "NotifyNtfy"),
        "ntfys": ("ntfy", "NotifyNtfy"),
        "opsgenie": ("opsgenie", "NotifyOpsgenie"),
        "pagerduty": ("pagerduty", "NotifyPagerDuty"),
        "pagertree": ("pagertree", "NotifyPagerTree"),
        "pover": ("pushover", "NotifyPushover"),
        "rocket": ("rocketchat", "NotifyRocketChat"),
        "rockets": ("rocketchat", "NotifyRocketChat"),
        "sendgrid": ("sendgrid", "NotifySendGrid"),
        "ses": ("ses", "NotifySES"),
        "signal": ("signal_api", "NotifySignalAPI"),
        "signals": ("signal_api", "NotifySignalAPI"),
        "slack": ("slack", "NotifySlack"),
        "sns": ("sns", "NotifySNS"),
        "splunk": ("splunk", "NotifySplunk"),
        "squadcast": ("squadcast", "NotifySquadcast"),
        "tgram": ("telegram", "NotifyTelegram"),
        "twilio": ("twilio", "NotifyTwilio"),
        "victorops": ("splunk", "NotifySplunk"),
        "webex": ("webexteams", "NotifyWebexTeams"),
        "workflows": ("workflows", "NotifyWorkflows"),
        "zulip": ("zulip", "NotifyZulip"),
    }
)
"""Module and class of each scheme that an address may begin with."""

REFUSED: Final = frozenset(
    {
        # They name files of this machine, or fetch a file from an address.
        *("attach", "filename", "pgp", "pgpprv", "pgppub", "template", "wkd"),
        # They read and write keys in a store of this machine.
        *("autoverify", "e2ee", "store"),
        # We decide how long a try takes, and what follows a failure.
        *("cto", "optional", "redirect", "retry", "rto", "wait"),
    }
)
"""Parameters that an address may not have."""

PAGERS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "firehydrant": ("dedup", "map"),
        "goalert": ("dedup", "map"),
        "goalerts": ("dedup", "map"),
        "ilert": ("dedup", "map"),
        "incidentio": ("dedup", "map"),
        "opsgenie": ("alias", "map"),
        "pagerduty": ("dedup", "map"),
        "splunk": ("entity_id", "map"),
        "squadcast": ("dedup", "map"),
        "victorops": ("entity_id", "map"),
    }
)
"""Services with incidents: the attribute that names an incident, and the action by which the end
of an alert closes it."""

LONGEST: Final = 1_000
"""Characters of an address."""

TIMEOUT_S: Final = 3.0
"""Seconds until a connection is open, and without a byte of the answer."""

_UNMASKED: Final = frozenset(
    {"json", "jsons", "goalert", "goalerts", "incidentio", "ntfy", "ntfys"}
)
"""Services of which the library shows a token. Only the scheme is shown."""

_MAIL: Final = frozenset({"mailto", "mailtos"})

_SHOWN: Final = 200
_CODE: Final = re.compile(r"error=(\d{3})\b")
_TYPES: Final = {
    "alert.began": "failure",
    "alert.escalated": "failure",
    "alert.ended": "success",
    "alerts.summary": "warning",
    "channel.test": "info",
}

_codes = threading.local()


class _Codes(logging.Handler):
    """Keeps the status codes of the library's log lines. The lines may contain addresses."""

    def emit(self, record: logging.LogRecord) -> None:
        found: list[str] | None = getattr(_codes, "found", None)
        if found is not None:
            found += _CODE.findall(record.getMessage())


def checked(text: str) -> tuple[str, str]:
    """Return an address, and what may be shown of it.

    Raises:
        AddressError: It cannot be used. The text has the fix.
    """
    address = text.strip()
    if len(address) > LONGEST:
        raise AddressError(f"This address is longer than {LONGEST} characters: use a shorter one.")
    if not address.isprintable():
        raise AddressError(
            "This address has an invisible character or a line break. Copy it again."
        )
    scheme = _scheme(address)
    service = _service(address, scheme)
    if any("{host}" in each for each in service.templates):  # else it may be a number of a bot
        hosts.refuse_special(service.host or "")
    return address, _masked(scheme, service)[:_SHOWN]


def _masked(scheme: str, service: Any) -> str:
    """Return the address without tokens, passwords and persons."""
    if scheme in _MAIL:
        return f"{scheme}://****@{service.host}"
    if scheme in _UNMASKED:
        return f"{scheme}://****"
    try:
        return str(service.url(privacy=True)).partition("?")[0]
    except Exception:  # noqa: BLE001 (a plugin may raise anything)
        return f"{scheme}://****"


def send(address: str, message: Message) -> None:
    """Send a message once.

    Raises:
        SendError: The service did not accept it. The text contains no part of the address.
    """
    scheme = _scheme(address)
    try:
        service = _service(address, scheme)
    except AddressError as error:
        raise SendError(str(error)) from None
    if message.topic and scheme in PAGERS:
        name, action = PAGERS[scheme]
        setattr(service, name, f"aifeature-{message.topic}")
        service.action = action
    _codes.found = []
    try:
        accepted = service.notify(
            body=message.text, title=message.title, notify_type=_type(message.type)
        )
    except Exception as error:  # noqa: BLE001 (a plugin may raise anything)
        raise SendError(f"{scheme} failed ({type(error).__name__}).") from None
    finally:
        codes, _codes.found = _codes.found, None
    if not accepted:
        raise SendError(_refused(scheme, codes))


def _refused(scheme: str, codes: list[str]) -> str:
    if codes:
        return f"{scheme} refused the message with status {codes[-1]}."
    return (
        f"{scheme} did not accept the message, or could not be reached. Check its address, its"
        " tokens, and that this machine may connect to it."
    )


def _scheme(address: str) -> str:
    """Return the scheme.

    Raises:
        AddressError: It is not one of SERVICES.
    """
    scheme, colon, _ = address.partition("://")
    scheme = scheme.lower()
    if scheme in SERVICES and colon:
        return scheme
    if scheme in {"http", "https"}:
        raise AddressError(
            "For an address with https:// choose the kind webhook. Slack, Teams and others have an"
            " address of their own here, such as slack://TokenA/TokenB/TokenC: see"
            " docs/operations/alert-channels.md."
        )
    raise AddressError(
        f"This kind of address is not supported. It begins with one of: {', '.join(SERVICES)}."
    )


def _service(address: str, scheme: str) -> Any:
    """Return the library's object for this address.

    Raises:
        AddressError: A part is missing, wrong or refused.
    """
    _refuse_parameters(address)
    plugin = _plugin(scheme)
    try:
        parts = plugin.parse_url(address)
        service = None if parts is None else plugin(**_ours(parts))
    except Exception:  # noqa: BLE001 (a plugin may raise anything)
        service = None
    if service is None or not service.enabled:
        raise AddressError(
            f"A part of this {scheme}:// address is missing or wrong. Compare it with"
            " docs/operations/alert-channels.md and the service's page at appriseit.com/services."
        )
    if not len(service):
        raise AddressError(
            f"This {scheme}:// address names no recipient: add one, for example"
            " mailtos://user:password@example.com?to=oncall@example.com"
        )
    return service


def _refuse_parameters(address: str) -> None:
    """Refuse the parameters of REFUSED, however they are written."""
    try:
        query = urlsplit(address).query
    except ValueError:
        raise AddressError("This is not an address: a bracket or a port is wrong.") from None
    # Apprise takes everything after the first question mark, also after a #.
    after = address.partition("?")[2]
    for name, _ in parse_qsl(f"{query}&{after.replace('?', '&')}", keep_blank_values=True):
        plain = name.strip().lower()
        if plain in REFUSED:
            raise AddressError(f"Remove the parameter {plain}: it is not allowed here.")


def _ours(parts: dict[str, Any]) -> dict[str, Any]:
    """Return the parts with our limits in place of those of the address."""
    from apprise import AppriseAsset  # noqa: PLC0415 (only where channels are used)

    asset = AppriseAsset(
        storage_mode="memory",
        http_redirects=False,
        pgp_autogen=False,
        pem_autogen=False,
        image_path_mask=False,
        timezone="UTC",
        language="en",
        default_service_retry=0,
        app_id="AI features",
        app_desc="Alerts of the AI features",
        app_url="",
        image_url_mask="",
        image_url_logo="",
    )
    limits = {"cto": TIMEOUT_S, "rto": TIMEOUT_S, "retry": 0, "redirect": False, "format": "text"}
    kept = {name: value for name, value in parts.items() if name not in REFUSED}
    return {**kept, **limits, "asset": asset}


def _plugin(scheme: str) -> Any:
    module, name = SERVICES[scheme]
    with warnings.catch_warnings():  # the library imports a deprecated module where it is present
        warnings.simplefilter("ignore", DeprecationWarning)
        loaded: Any = import_module(f"apprise.plugins.{module}")
    if hasattr(loaded, "requests"):
        loaded.requests = _short_answers()
    logger = logging.getLogger("apprise")
    if not any(isinstance(each, _Codes) for each in logger.handlers):
        logger.addHandler(_Codes())
        logger.propagate = False  # its lines may contain addresses
    return getattr(loaded, name)


@lru_cache(maxsize=1)
def _short_answers() -> Any:
    from aifeature.services.channels.short_answers import ShortAnswers  # noqa: PLC0415

    return ShortAnswers()


def _type(of_message: str) -> Any:
    from apprise import NotifyType  # noqa: PLC0415

    return NotifyType(_TYPES[of_message])
