"""Counts tries to sign in before a password is checked, in PostgreSQL, for all web processes."""

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


def take(name: str, address: str) -> int:
    """Count a try to sign in. Its password may be checked only if this returns 0.

    Returns:
        0, or the whole seconds until the next try may be made; then this one was not counted.

    Raises:
        django.db.Error: the database is away, or a lock stayed; nobody is let in then.
    """
    keys = _keys(name, address)
    limits = [OF_BOTH, OF_ADDRESS, OF_NAME]
    wait_s: float = rows("aif_sign_in_take", keys, limits, WINDOW.total_seconds())[0][0]
    return math.ceil(wait_s)


def succeeded(name: str, address: str) -> None:
    """The password was right: forget the failures of this name at this address.

    Of the name alone and of the address alone only this try is taken back: who has one account
    must not be able to clear their way to others.
    """
    own, *others = _keys(name, address)
    rows("aif_sign_in_succeeded", own, others)


def forget(name: str) -> int:
    """Forget the failures of a name, and those of the addresses it was tried from.

    For operators: afterwards the sign-in is open again for this name, wherever it was locked.

    Returns:
        How many counts and records were deleted.
    """
    with transaction.atomic():
        tried = AccessAttempt.objects.filter(username__iexact=name)
        addresses = {"", *filter(None, tried.values_list("ip_address", flat=True))}
        keys = {key for address in addresses for key in _keys(name, address)}
        return tried.delete()[0] + SignInCount.objects.filter(key__in=keys).delete()[0]


def prune() -> int:
    """Delete the counts that are over; return how many."""
    return SignInCount.objects.filter(until__lt=Now() - WINDOW).delete()[0]


def _keys(name: str, address: str) -> list[str]:
    name, address = name.casefold(), network(address)
    return [_digest("both", name, address), _digest("address", address), _digest("name", name)]


def _digest(*parts: str) -> str:
    whole = "\0".join(parts).encode(errors="surrogatepass")
    return hashlib.sha256(whole).hexdigest()
