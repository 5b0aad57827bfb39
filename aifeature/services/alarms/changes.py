"""Changes of a feature and of the system: what may explain that a number moved.

The audit log has every change of a control, of what is live, of ramps, canaries, shadows and
launches. Deploys have a table of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from aifeature import registry
from aifeature.models import ControlChange, Launch, Release
from aifeature.services.controls import GLOBAL, launches

MOST: Final = 200
"""Most changes of each source. The newest ones count."""


class Kind(StrEnum):
    PROMPT = "prompt"
    MODEL = "model"
    STAGE = "stage"
    LIMIT = "limit"
    SWITCH = "switch"
    ROLLOUT = "rollout"
    DEPLOY = "deploy"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `text` has no reason and no name of a person."""

    at: datetime
    kind: Kind
    feature: str
    """A slug; empty if it concerns all features."""
    text: str
    """A phrase such as `Prompt v4 became live`."""
    url_name: str = ""
    """Name of the admin page about it, with the argument `url_pk`; empty: there is none."""
    url_pk: int | None = None
    permission: str = ""
    """Permission that the page requires."""


def between(slug: str | None, begin: datetime, end: datetime) -> list[Change]:
    """Return the changes from `begin` until before `end`, oldest first.

    Args:
        slug: A feature: its own changes and those of all features. None: those of every feature of
            the code.
        begin: Inclusive.
        end: Exclusive.

    At most MOST of each of three sources, each by one query on an index.
    """
    found = [*_controls(slug, begin, end), *_launched(slug, begin, end), *_deploys(begin, end)]
    return sorted(found, key=lambda change: change.at)


def _controls(slug: str | None, begin: datetime, end: datetime) -> list[Change]:
    rows = ControlChange.objects.filter(
        feature__in=[*_slugs(slug), ""], field__in=FIELDS, at__gte=begin, at__lt=end
    )
    newest = rows.order_by("-at", "-id")[:MOST]
    return [_of_control(row) for row in reversed(newest)]


def _of_control(row: ControlChange) -> Change:
    kind, words = FIELDS[row.field]
    return Change(
        at=row.at,
        kind=kind,
        feature="" if row.feature == GLOBAL else row.feature,
        text=words(row),
        url_name="admin:aifeature_controlchange_change",
        url_pk=row.pk,
        permission="aifeature.view_controlchange",
    )


def _launched(slug: str | None, begin: datetime, end: datetime) -> list[Change]:
    """Return the announced launches that begin. Announcing one changes no traffic."""
    rows = Launch.objects.filter(feature__in=_slugs(slug), starts_at__gte=begin, starts_at__lt=end)
    return [
        Change(
            at=row.starts_at,
            kind=Kind.ROLLOUT,
            feature="" if row.feature == GLOBAL else row.feature,
            text=f"Launch: {launches.in_words(row)}",
            url_name="admin:aifeature_launch_change",
            url_pk=row.pk,
            permission="aifeature.view_launch",
        )
        for row in rows.order_by("-starts_at")[:MOST]
    ]


def _deploys(begin: datetime, end: datetime) -> list[Change]:
    rows = Release.objects.filter(began_at__gte=begin, began_at__lt=end).order_by("-began_at")
    return [Change(row.began_at, Kind.DEPLOY, "", _deploy_in_words(row)) for row in rows[:MOST]]


def _deploy_in_words(row: Release) -> str:
    return f"Release {row.name} replaced {row.replaces}" if row.replaces else f"Release {row.name}"


def _slugs(slug: str | None) -> list[str]:
    return [GLOBAL, *(registry.slugs() if slug is None else [slug])]


def _plain(label: str) -> Callable[[ControlChange], str]:
    return lambda row: f"{label}: {row.old or 'not set'} → {row.new or 'not set'}"


def _invited(row: ControlChange) -> str:
    """Return the numbers alone: the audit row lists ids of accounts in brackets."""
    label = row.field.replace("_", " ").capitalize()
    return f"{label}: {row.old.partition(' (')[0]} → {row.new.partition(' (')[0]}"


def _live_prompt(row: ControlChange) -> str:
    version = row.new.partition(" ")[0]
    kind = (row.figures or {}).get("kind")
    if kind == "rolled_back":
        return f"Prompt rolled back to {version}"
    return f"Prompt {version} became live"


def _killed(row: ControlChange) -> str:
    name = "Kill switch of everything" if row.feature == GLOBAL else "Kill switch"
    return f"{name} {'pulled' if row.new == 'True' else 'released'}"


def _ended_or_new(label: str) -> Callable[[ControlChange], str]:
    return lambda row: f"{label}: {row.new}"


def _breaker(row: ControlChange) -> str:
    return f"Circuit breaker of {row.model}: {row.old} → {row.new}"


def _rate_override(_: ControlChange) -> str:
    return "Rates of a user or a group changed"


Words = Callable[[ControlChange], str]

FIELDS: Final[Mapping[str, tuple[Kind, Words]]] = MappingProxyType(
    {
        "live_prompt": (Kind.PROMPT, _live_prompt),
        "prompt_version": (Kind.PROMPT, _plain("Prompt version")),
        "breaker": (Kind.MODEL, _breaker),
        "stage": (Kind.STAGE, _plain("Stage")),
        "percent": (Kind.STAGE, _plain("Percentage of users")),
        "seed": (Kind.STAGE, _plain("Seed of the users' places")),
        "beta_users": (Kind.STAGE, _invited),
        "beta_groups": (Kind.STAGE, _invited),
        "beta_cap": (Kind.STAGE, _plain("Places in the beta")),
        "holdout_percent": (Kind.STAGE, _plain("Hold-out (%)")),
        "killed": (Kind.SWITCH, _killed),
        "release_percent": (Kind.SWITCH, _plain("Kill switch released for (%)")),
        "daily_budget_usd": (Kind.LIMIT, _plain("Daily budget (USD)")),
        "user_daily_budget_usd": (Kind.LIMIT, _plain("Daily budget of a user (USD)")),
        "user_daily_spend_usd": (Kind.LIMIT, _plain("Daily spend of a user (USD)")),
        "monthly_budget_usd": (Kind.LIMIT, _plain("Monthly budget (USD)")),
        "requests_per_minute": (Kind.LIMIT, _plain("Requests per minute")),
        "tokens_per_minute": (Kind.LIMIT, _plain("Tokens per minute")),
        "user_in_flight": (Kind.LIMIT, _plain("Calls at once")),
        "deadline_s": (Kind.LIMIT, _plain("Deadline (s)")),
        "rate_override": (Kind.LIMIT, _rate_override),
        "ramp": (Kind.ROLLOUT, _ended_or_new("Ramp")),
        "canary": (Kind.ROLLOUT, _ended_or_new("Canary")),
        "shadow": (Kind.ROLLOUT, _ended_or_new("Shadow")),
    }
)
"""By `ControlChange.field`: the kind of the change, and its words. Others explain no number:
reasons, the retention of content, blocks of single users, actions after a regression."""
