"""Limits on sign-ins. PostgreSQL counts each try before its password is checked."""

from __future__ import annotations

import hashlib
import math

from axes.models import AccessAttempt
from django.db import transaction
from django.db.models.functions import Now

from aifeature.models import SignInCount
from aifeature.models.functions import rows
from aifeature.policies.networks import network
from aifeature.policies.sign_in import OF_ADDRESS, OF_BOTH, OF_NAME, WINDOW
from aifeature.services.sign_in import failures


def take(name: str, address: str) -> int:
    """Count a try to sign in.

    Returns:
        0 if the password may be checked. Otherwise the try was not counted, and the value is the
        whole seconds until the next try.

    Raises:
        django.db.Error: The database is unavailable, or a lock timed out. Refuse the sign-in.
    """
    keys = _keys(name, address)
    limits = [OF_BOTH, OF_ADDRESS, OF_NAME]
    wait_s: float = rows("aif_sign_in_take", keys, limits, WINDOW.total_seconds())[0][0]
    return math.ceil(wait_s)


def succeeded(name: str, address: str) -> None:
    """Reset the count of this name at this address after a correct password.

    The counts of the name and of the address alone are reduced by this try only. Otherwise a user
    with one account could reset the limits on guessing the passwords of others.
    """
    own, *others = _keys(name, address)
    rows("aif_sign_in_succeeded", own, others)


def forget(name: str) -> int:
    """Delete the failures of a name and of the addresses it was tried from.

    For operators: this unlocks the sign-in of the name everywhere. Returns the number of deleted
    counts and records.
    """
    with transaction.atomic():
        tried = AccessAttempt.objects.filter(failures.of_name(name))
        addresses = {"", *filter(None, tried.values_list("ip_address", flat=True))}
        keys = {key for address in addresses for key in _keys(name, address)}
        return tried.delete()[0] + SignInCount.objects.filter(key__in=keys).delete()[0]


def prune() -> int:
    """Delete expired counts. Return their number."""
    return SignInCount.objects.filter(until__lt=Now() - WINDOW).delete()[0]


def _keys(name: str, address: str) -> list[str]:
    name, address = name.casefold(), network(address)
    return [_digest("both", name, address), _digest("address", address), _digest("name", name)]


def _digest(*parts: str) -> str:
    whole = "\0".join(parts).encode(errors="surrogatepass")
    return hashlib.sha256(whole).hexdigest()
