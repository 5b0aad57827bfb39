"""The open canary of each feature, as all processes read it with the controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef
from django.db.models.functions import JSONObject

from aifeature.models import CanaryStep
from aifeature.models.canary import OPEN
from aifeature.policies import percent
from aifeature.services.controls import live
from aifeature.services.controls.live import LivePrompt


class OpenCanary(NamedTuple):
    """A canary that is served."""

    purpose: str
    candidate: LivePrompt
    live_hash: str
    """The prompt that it is compared with. It is served while this one is live."""
    percent: int
    steps: tuple[int, ...]
    """Ids of its steps, the newest first."""


def steps() -> ArraySubquery:
    """Return an expression for a query of controls: the steps of the open canary, newest first."""
    of = {"canary__feature": OuterRef("feature"), "canary__provider": live.provider()}
    rows = CanaryStep.objects.filter(canary__state__in=OPEN, **of).order_by("-id")
    names = {"version": "canary__version", "hash": "canary__prompt_hash", "canary": "canary_id"}
    names["live_hash"] = "canary__live_hash"
    return ArraySubquery(rows.values(row=JSONObject(id="id", percent="percent", **names)))


def from_steps(rows: Sequence[Mapping[str, Any]]) -> OpenCanary | None:
    """Return the canary of such steps; None if there is none."""
    if not rows:
        return None
    newest, ids = rows[0], tuple(row["id"] for row in rows)
    candidate = LivePrompt(newest["version"], newest["hash"])
    purpose, live_hash = percent.canary(newest["canary"]), newest["live_hash"]
    return OpenCanary(purpose, candidate, live_hash, newest["percent"], ids)
