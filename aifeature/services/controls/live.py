"""The live prompt of each feature: the newest activation whose prompt this code has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import JSONObject, Now

from aifeature import prompts
from aifeature.models import Activation
from aifeature.spec import Feature

REAL: Final = "anthropic"

ACTIVATING: Final = (
    Activation.Kind.ACTIVATED,
    Activation.Kind.DEPLOYED,
    Activation.Kind.ROLLED_BACK,
    Activation.Kind.OVERRIDDEN,
)
"""The kinds with which a prompt becomes live, as in `aif_live_prompt`."""


class LivePrompt(NamedTuple):
    """A prompt that may be live."""

    version: str
    hash: str


def provider() -> str:
    """Return the provider for which evidence counts.

    A real provider at another address than its own has a name of its own: what answers there may be
    anything, and its evidence proves nothing for others.
    """
    name: str = settings.AIFEATURE["PROVIDER"]
    address: str | None = settings.AIFEATURE["BASE_URL"]
    if name != REAL or not address:
        return name
    parts = urlsplit(address)
    is_own = (parts.scheme, parts.hostname) == ("https", "api.anthropic.com")
    if is_own and parts.port in (None, 443):
        return name
    return f"{name} at {parts.netloc.rpartition('@')[2]}"[:120]


def activations() -> ArraySubquery:
    """Return an expression for a query of controls: activations that are not over, newest first.

    `preferred` reads its value. Only those with this provider are among them.
    """
    ended = Activation.objects.filter(kind=Activation.Kind.ENDED, request=OuterRef("pk"))
    later = Activation.objects.filter(
        feature=OuterRef("feature"),
        provider=OuterRef("provider"),
        kind__in=ACTIVATING,
        pk__gt=OuterRef("pk"),
    )
    rows = Activation.objects.filter(
        ~Exists(ended),
        ~Q(kind=Activation.Kind.OVERRIDDEN) | ~Exists(later),
        Q(expires_at=None) | Q(expires_at__gt=Now()),
        feature=OuterRef("feature"),
        kind__in=ACTIVATING,
        provider=provider(),
    )
    values = {name: name for name in ("kind", "version", "prompt_hash", "replaces_hash")}
    return ArraySubquery(rows.order_by("-id").values(row=JSONObject(**values)))


def preferred(rows: Iterable[Mapping[str, str]]) -> tuple[LivePrompt, ...]:
    """Return the prompts that may be live, the preferred one first.

    A prompt that was rolled back is not among them, unless it was activated again since.
    """
    found: dict[str, LivePrompt] = {}
    withdrawn: set[str] = set()
    for row in rows:
        hash_ = row["prompt_hash"]
        if hash_ not in withdrawn:
            found.setdefault(hash_, LivePrompt(row["version"], hash_))
        if row["kind"] == Activation.Kind.ROLLED_BACK:
            withdrawn.add(row["replaces_hash"])
    return tuple(found.values())


def version(feature: Feature, candidates: Iterable[LivePrompt]) -> str | None:
    """Return the first version whose prompt is the same in this code; None if there is none."""
    return next((each.version for each in candidates if has(feature, each)), None)


def has(feature: Feature, prompt: LivePrompt) -> bool:
    """Return whether this code has exactly this prompt."""
    try:
        return prompts.get(feature.slug, prompt.version).hash == prompt.hash
    except prompts.PromptError:
        return False
