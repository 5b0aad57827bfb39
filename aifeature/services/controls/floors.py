"""The floor in force of a feature with a provider: the code's, with a record in the audit log.

The code has the history of floors. The audit log keeps the floor that was last in force, so that
an edit of the history cannot lower it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final

from django.db import connection, transaction

from aifeature.models import ControlChange
from aifeature.spec import Feature, Floor

CHECK: Final = "floors"
"""`ControlChange.check_name` of a floor."""


@dataclass(frozen=True, slots=True)
class InForce:
    """The floor that decides."""

    least: float
    """From 0 to 1. 0 if none is set."""

    problem: str = ""
    """Why it is not the newest one of the code, and the next step. Empty if it is."""


@dataclass(frozen=True, slots=True)
class _Recorded:
    """The floor that the audit log recorded last."""

    least: float
    since: date


def field(provider: str) -> str:
    """Return `ControlChange.field` of the floor with a provider."""
    return f"floor_{provider}"


def in_force(feature: Feature, provider: str) -> InForce:
    """Return the floor in force. If it changed, write a row of the audit log.

    A higher floor of the code is in force immediately. A lower one is if the code's history has the
    recorded floor before it; each decrease since then has a reason, which goes into the audit row.
    Otherwise the recorded floor stays in force.

    An advisory lock keeps two processes from recording the same change. It is held until the end of
    the transaction. It delays nothing but the record of another change of the same floor.
    """
    history = feature.suite.history(provider) if feature.suite else ()
    recorded = _recorded(feature.slug, provider)
    if (found := _unchanged(feature.slug, provider, history, recorded)) is not None:
        return found
    with transaction.atomic():
        name = f"{field(provider)} {feature.slug}"
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        recorded = _recorded(feature.slug, provider)
        if (found := _unchanged(feature.slug, provider, history, recorded)) is not None:
            return found
        newest = history[-1]
        ControlChange.objects.create(
            feature=feature.slug,
            field=field(provider),
            old="" if recorded is None else f"{recorded.least!r}",
            new=f"{newest.least!r}",
            reason=_reason(history, recorded),
            check_name=CHECK,
            figures={"since": newest.since.isoformat()},
        )
    return InForce(newest.least)


def known(feature: Feature, provider: str) -> InForce:
    """Return the floor in force, and write nothing: for pages and refusals."""
    history = feature.suite.history(provider) if feature.suite else ()
    found = _unchanged(feature.slug, provider, history, _recorded(feature.slug, provider))
    return found or InForce(history[-1].least)


def _recorded(slug: str, provider: str) -> _Recorded | None:
    rows = ControlChange.objects.filter(feature=slug, field=field(provider), check_name=CHECK)
    if (row := rows.order_by("-id").first()) is None:
        return None
    return _Recorded(float(row.new), date.fromisoformat((row.figures or {})["since"]))


def _unchanged(
    slug: str, provider: str, history: Sequence[Floor], recorded: _Recorded | None
) -> InForce | None:
    """Return the floor if there is nothing to record."""
    if recorded is None:
        return None if history else InForce(0.0)
    newest = history[-1].least if history else 0.0
    if newest == recorded.least:
        return InForce(newest)
    if newest > recorded.least or _after(history, recorded):
        return None
    return InForce(
        recorded.least,
        f"The floor of {slug} for {provider} is {newest:g} in the code. The audit log has"
        f" {recorded.least:g} since {recorded.since}, which stays in force, because the history in"
        f" the code does not have it. Restore the entry, and add the lower floor after it with a"
        " reason.",
    )


def _after(history: Sequence[Floor], recorded: _Recorded) -> Sequence[Floor]:
    """Return the entries after the recorded one; empty if the history does not have it."""
    for at, floor in enumerate(history):
        if (floor.least, floor.since) == (recorded.least, recorded.since):
            return history[at + 1 :]
    return ()


def _reason(history: Sequence[Floor], recorded: _Recorded | None) -> str:
    """Return the reasons of the decreases since the recorded floor, or that it is a higher one."""
    newest = history[-1]
    if recorded is None:
        return newest.reason or f"The code has this floor since {newest.since}."
    if newest.least > recorded.least:
        return newest.reason or f"The code has this higher floor since {newest.since}."
    known = history[-len(_after(history, recorded)) - 1 :]
    return " ".join(after.reason for before, after in pairwise(known) if after.least < before.least)
