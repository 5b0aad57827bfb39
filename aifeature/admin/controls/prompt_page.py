"""The page of a feature's prompts: what is live, each version's evidence, and the history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from django.apps import apps
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join

from aifeature import prompt_diff, prompts, shares
from aifeature.admin.common.show import moment, span, utc
from aifeature.admin.controls import cards, prompt_notices
from aifeature.admin.controls.prompt_buttons import activate_button, buttons
from aifeature.models import Activation, Evidence, FeatureControl
from aifeature.prompts import Prompt
from aifeature.services import controls
from aifeature.services.promotion import activations, standing
from aifeature.services.promotion.standing import Standing, Version
from aifeature.spec import Feature

Fact = tuple[str, Any, str, str]
"""Name, value, remark and CSS class."""

HISTORY: Final = ("when", "version", "what", "who", "reason", "evidence")

COLOURS: Final = {"pass": "success", "regression": "danger", "not comparable": "warning"}

_RUN: Final = ("evals", "run")
"""App and model of the runs. Admin imports nothing of evaluations."""


def context(request: HttpRequest, feature: Feature) -> dict[str, Any]:
    """Return all that the page shows to this visitor."""
    now = standing.of(feature)
    control = FeatureControl.objects.filter(feature=feature.slug).first()
    history = standing.history(feature.slug)
    names = {row.prompt_hash: row.version for row in history}
    names |= {each.hash: each.version for each in now.versions if each.hash}
    runs = _runs(request, now)
    return {
        "feature": feature,
        "provider": controls.live.provider(),
        "feature_url": cards.control_url(feature.slug),
        "buttons": buttons(request, now),
        "switch": cards.switch_of(feature.slug),
        "notices": [
            *prompt_notices.of_feature(control, now.live),
            *prompt_notices.of_request(now.request),
        ],
        "served": now.served,
        "live": list(_live(now)),
        "versions": [
            {
                "version": each,
                "labels": list(_labels(now, each)),
                "facts": list(_facts(each.evidence, names, runs)) if each.evidence else [],
                "reasons": each.evidence.verdict.get("reasons", ()) if each.evidence else (),
                "button": activate_button(request, now, each),
                "shows_problem": not each.hash
                or (not _is_settled(now, each) and not feature.internal),
            }
            for each in now.versions
        ],
        "diff": _diff(now, request.GET),
        "history": {"headers": HISTORY, "rows": [_history(row) for row in history]},
    }


def _live(now: Standing) -> Iterator[Fact]:
    row = now.live
    if row is None:
        return
    is_here = any(each.hash == row.prompt_hash for each in now.versions)
    remark = "" if is_here else "this code has no version with its text"
    yield "Live", f"{row.version} ({row.prompt_hash[:8]})", remark, "" if is_here else "aif-doubt"
    yield "Since", utc(row.at), "", ""
    yield "By", activations.by(row), row.get_kind_display().capitalize(), ""
    if row.expires_at:
        after = now.after_override or "staff only"
        yield "Until", utc(row.expires_at), f"then {after}", "aif-doubt"
    yield "Reason", row.reason, "", ""


def _labels(now: Standing, each: Version) -> Iterator[tuple[str, str]]:
    if each.is_live:
        is_override = now.override is not None and now.override.prompt_hash == each.hash
        yield ("warning", "live by override") if is_override else ("success", "live")
    if not each.hash:
        yield "danger", "cannot be read"
        return
    if each.evidence is None:
        yield "", "no evidence"
        return
    decision = str(each.evidence.verdict.get("decision", ""))
    yield COLOURS.get(decision, ""), decision
    if not each.problem:
        yield "info", "may be activated"


def _is_settled(now: Standing, each: Version) -> bool:
    """Return whether a version is live, and not by an override: it needs no activation."""
    return each.is_live and (now.override is None or now.override.prompt_hash != each.hash)


def _facts(proof: Evidence, names: Mapping[str, str], runs: Mapping[str, str]) -> Iterator[Fact]:
    verdict = proof.verdict
    if arm := verdict.get("candidate"):
        rate = shares.percent(arm["rate"])
        yield "Pass rate", rate, shares.span(arm["interval"]), "" if proof.passed else "aif-bad"
    if verdict.get("floor"):
        yield "Floor", shares.percent(verdict["floor"]), "", ""
    against = names.get(proof.live_hash, f"the prompt {proof.live_hash[:8]}")
    if not proof.live_hash:
        yield "Compared with", "no version", "none was live: its floor decided", ""
    elif (difference := verdict.get("difference_points")) is None:
        yield "Compared with", against, "", ""
    else:
        interval = verdict.get("difference_interval")
        low, high = (shares.points(interval[end]) for end in ("low", "high")) if interval else "  "
        remark = f"{low} to {high}" if interval else ""
        yield f"Against {against}", f"{shares.points(difference)} points", remark, ""
    if (drop := verdict.get("smallest_drop_points")) is not None:
        yield "Smallest visible drop", f"{drop:.1f} points", "", ""
    now = datetime.now(UTC)
    age = span(max(0.0, (now - proof.measured_at).total_seconds()))
    yield "Measured", utc(proof.measured_at), f"{age} ago", ""
    if proof.fresh_until is None:
        yield "Counts", "always", "evidence of the sandbox does not age", ""
    else:
        is_old = proof.fresh_until <= now
        until = "too old for an activation" if is_old else ""
        yield "Counts until", utc(proof.fresh_until), until, "aif-doubt" if is_old else ""
    yield "Made by", proof.get_origin_display(), "", ""
    yield "Answered by", ", ".join(proof.answered_by) or "unknown", "", ""
    yield "Account", proof.account or "unknown", "", ""
    if proof.runs:
        yield "Runs", _linked(proof.runs, runs), "", ""


def _linked(ids: list[str], urls: Mapping[str, str]) -> str:
    link = '<a class="aif-link aif-mono" href="{}">{}</a>'
    plain = '<span class="aif-mono">{1}</span>'
    each = [format_html(link if urls.get(i) else plain, urls.get(i, ""), i[:8]) for i in ids]
    return format_html_join(" ", "{}", ((one,) for one in each))


def _runs(request: HttpRequest, now: Standing) -> dict[str, str]:
    """Return by id the address of each run that is in this database and that has a page."""
    ids = {run for each in now.versions if each.evidence for run in each.evidence.runs}
    if not ids or not request.user.has_perm("evals.view_run"):
        return {}
    try:
        model = apps.get_model(*_RUN)
        found = model._default_manager.filter(pk__in=ids).values_list("pk", flat=True)  # noqa: SLF001 (public in Django)
        return {str(pk): reverse("admin:evals_run_change", args=(pk,)) for pk in found}
    except (LookupError, NoReverseMatch):
        return {}


def _diff(now: Standing, query: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the changes between two versions, by default from the live one to the newest."""
    names = [each.version for each in now.versions if each.hash]
    if len(names) < 2:  # noqa: PLR2004 (two versions)
        return None
    live = next((each.version for each in now.versions if each.is_live), names[1])
    default = {"from": names[1] if live == names[0] else live, "to": names[0]}
    old, new = (
        prompts.get(now.feature.slug, name if name in names else default[end])
        for end in default
        for name in [query.get(end, "")]
    )
    before, after = ({"system": each.system, "user": each.user} for each in (old, new))
    figures = ((_parameters(old), _parameters(new)),)
    return {
        "names": names,
        "ends": [("from", old.version), ("to", new.version)],
        "from": old.version,
        "to": new.version,
        "parameters": [
            f"{name}: {a[name]} → {b[name]}" for a, b in figures for name in a if a[name] != b[name]
        ],
        "parts": [part for part in prompt_diff.parts(before, after) if part.lines],
    }


def _parameters(prompt: Prompt) -> dict[str, Any]:
    models = ", ".join(prompt.models) or "those of the feature's routes"
    return {**prompt.parameters.model_dump(), "models": models}


def _history(row: Activation) -> list[Any]:
    where = "" if row.provider == controls.live.provider() else f" with {row.provider}"
    return [
        moment(row.at),
        format_html('{} <span class="aif-mono">{}</span>', row.version, row.prompt_hash[:8]),
        f"{_kind(row)}{where}",
        activations.by(row),
        row.reason,
        _proof(row),
    ]


def _kind(row: Activation) -> str:
    label = row.get_kind_display().capitalize()
    if row.kind == Activation.Kind.REQUESTED:
        return f"{label} for {row.hours} h"
    return f"{label} until {utc(row.expires_at)}" if row.expires_at else label


def _proof(row: Activation) -> str:
    if row.evidence is None:
        return "-"
    arm = row.evidence.verdict.get("candidate")
    rate = f", {shares.percent(arm['rate'])}" if arm else ""
    return f"{row.evidence.verdict.get('decision', '')}{rate}, {row.evidence.measured_at:%Y-%m-%d}"
