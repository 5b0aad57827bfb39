"""Webhooks: JSON by POST, signed as Standard Webhooks describes (standardwebhooks.com)."""

from __future__ import annotations

import json
import secrets
from base64 import b64encode
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from aifeature.models.free_text import without_personal_data
from aifeature.services.channels import hosts
from aifeature.services.channels.messages import Message
from aifeature.services.channels.problems import AddressError, SendError

CONNECT_S: Final = 2.0
ANSWER_S: Final = 3.0
"""Seconds until a connection is open, and without a byte of the answer."""

LONGEST: Final = 500
"""Characters of an address."""

_SECRET_BYTES: Final = 32
_OK: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)


def new_secret() -> str:
    """Return a random secret in the form of the standard, such as `whsec_MfKQ9r8G...`.

    A notice shows it, and notices lose what looks like personal data: such a secret is not used.
    """
    while True:
        made = "whsec_" + b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
        if without_personal_data(made) == made:
            return made


def checked(text: str) -> tuple[str, str]:
    """Return the address of a webhook, and what may be shown of it.

    >>> checked("https://hooks.example/alerts?key=5")
    ('https://hooks.example/alerts?key=5', 'https://hooks.example')

    Raises:
        AddressError: It cannot be used. The text has the fix.
    """
    address = text.strip()
    if len(address) > LONGEST:
        raise AddressError(f"This address is longer than {LONGEST} characters: use a shorter one.")
    if not address.isascii() or not address.isprintable() or " " in address or "\\" in address:
        raise AddressError(
            "This address has a character that no address has, such as a space. Copy it again, and"
            " write a name with other letters in its xn-- form."
        )
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise AddressError(
            "This is not an address. Example: https://hooks.example/alerts"
        ) from None
    if parts.scheme not in {"http", "https"} or not host:
        raise AddressError(
            "A webhook begins with https:// (or http://) and a host. Example:"
            " https://hooks.example/alerts. For mailto://, slack:// and others choose the other"
            " kind."
        )
    if parts.username is not None or parts.password is not None:
        raise AddressError(
            "Remove the user and password before the @: the signature proves who sent a message."
        )
    if parts.fragment:
        raise AddressError("Remove the part after #: it is never sent.")
    if port == 0:
        raise AddressError("Port 0 does not exist: write the port of the receiver, or none.")
    hosts.refuse_special(host)
    shown = f"[{host}]" if ":" in host else host
    return address, f"{parts.scheme}://{shown}{f':{port}' if port else ''}"


def send(address: str, secret: str, message: Message, *, at: datetime) -> None:
    """Post a message once. Redirects are not followed, and the answer's body is not read.

    Args:
        address: Of `checked`.
        secret: Of `new_secret`.
        message: Its id is the same at each try.
        at: The time of this try. A receiver refuses a message whose time is not about now.

    Raises:
        SendError: No answer, or one without success. The text contains no part of the address.
    """
    import httpx2  # noqa: PLC0415 (only where channels are used)
    from standardwebhooks import Webhook  # noqa: PLC0415

    body = json.dumps(message.payload(), ensure_ascii=False, separators=(",", ":"))
    message_id = f"msg_{message.id.hex}"
    headers = {
        "content-type": "application/json",
        "user-agent": "aifeature-alerts",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, at, body),
    }
    timeout = httpx2.Timeout(ANSWER_S, connect=CONNECT_S)
    try:
        with (
            httpx2.Client(trust_env=False, follow_redirects=False, timeout=timeout) as client,
            client.stream("POST", address, content=body.encode(), headers=headers) as answer,
        ):
            status = answer.status_code
    except httpx2.TimeoutException:
        raise SendError("The receiver did not answer in time.") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise SendError(f"The receiver could not be reached ({type(error).__name__}).") from None
    if status in _REDIRECTS:
        raise SendError(f"The receiver redirects (status {status}): enter its final address.")
    if status not in _OK:
        raise SendError(f"The receiver answered with status {status}.")
