"""The present state in words: queue, switches, breakers, roll-outs and users by cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.admin.utils import quote
from django.urls import reverse

from aifeature.admin.common.names import title_of
from aifeature.admin.common.show import money, span
from aifeature.admin.controls import breaker_rows, cards
from aifeature.admin.controls.switch_forms import described
from aifeature.models import Canary, Ramp
from aifeature.services.controls import GLOBAL
from aifeature.services.controls.switch_state import SwitchState
from aifeature.services.monitoring.overview import Queue
from aifeature.services.provider.model_views import ModelView
from aifeature.services.rollout import ramps

_MOST_E: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of the state. The tone is also in the words."""

    title: str
    value: str
    note: str = ""
    tone: str = ""
    url: str = ""


def queue(found: Queue) -> Iterator[Fact]:
    """Yield what waits and what runs."""
    waits = f"oldest waits {span(found.waiting.total_seconds())}" if found.waiting else "none waits"
    yield Fact(
        "Queue",
        cards.at_least(found.due),
        f"due, {waits}; {cards.at_least(found.later)} due later",
        "bad" if found.stuck else "",
        cards.jobs_url(status__exact="queued"),
    )
    lost = f"{found.overdue} without a worker" if found.overdue else "all with a worker"
    yield Fact(
        *("Running", f"{found.running:,}", lost, "bad" if found.overdue else ""),
        cards.jobs_url(status__exact="running"),
    )


def switches(states: Mapping[str, SwitchState], slugs: Sequence[str]) -> Fact:
    """Return whether kill switches of these features or of everything are pulled."""
    on = [(slug, found) for slug in (GLOBAL, *slugs) if (found := described(_of(states, slug)))]
    if not on:
        return Fact("Kill switches", "off", "no feature is stopped")
    slug, first = on[0]
    names = ", ".join(title_of(each) for each, _ in on)
    how = "stopped" if first["killed"] else f"released for {first['percent']} %"
    note = f"{names}: {how}. {first['reason']}"
    return Fact("Kill switches", f"{len(on)} on", note, "bad", cards.control_url(slug))


def breakers(views: Iterable[ModelView]) -> Fact:
    """Return which models' circuit breakers are not closed."""
    found = [(view, breaker_rows.state(view)) for view in views]
    other = [(view, label) for view, label in found if label[0] != "closed"]
    url = reverse("admin:aifeature_modelcontrol_changelist")
    if not other:
        return Fact("Breakers", "closed", f"all of {len(found)} models", url=url)
    note = "; ".join(f"{view.model}: {label[1]}" for view, label in other)
    tone = "bad" if any(label[0] == "open" for _, label in other) else "doubt"
    return Fact("Breakers", f"{len(other)} not closed", note, tone, url)


def ramp(row: Ramp) -> Fact:
    """Return how far a ramp is, and why it is held."""
    step = f"step {row.step + 1} of {len(row.steps)}"
    if row.state == Ramp.State.STEPPED_BACK:
        note, tone = "stepped back, waits for a person", "bad"
    elif row.hold_reason:
        note, tone = f"{step}, held: {row.hold_reason}", "doubt"
    else:
        note, tone = f"{step}, {span(row.healthy_s)} of {row.hours_per_step} h healthy", ""
    title = f"Ramp of {title_of(row.feature)}"
    return Fact(title, f"{ramps.percent_of(row)} %", note, tone, cards.control_url(row.feature))


def canary(row: Canary) -> Fact:
    """Return the share of a canary, and the e-value that is nearest to its threshold."""
    steps = list(row.steps.all())
    share = max(steps, key=lambda step: step.pk).percent if steps else 0
    metrics: Mapping[str, Any] = (row.figures or {}).get("metrics", {})
    highest = max(
        metrics.items(), key=lambda each: each[1]["e"] / each[1]["threshold"], default=None
    )
    title = f"Canary of {title_of(row.feature)} {row.version}"
    url = reverse("admin:aifeature_canary_change", args=(quote(row.pk),))
    if highest is None:
        return Fact(title, f"{share} %", "no figures yet", url=url)
    name, found = highest
    value = f"{found['e']:.3g}" if found["e"] < _MOST_E else f"above {_MOST_E:,}"
    note = f"highest e-value {value} of {found['threshold']:,} ({name.replace('_', ' ')})"
    is_alarm = found["e"] >= found["threshold"]
    if row.state == Canary.State.HELD:
        note = f"{note}; held: {row.hold_reason}"
    tone = "bad" if is_alarm else "doubt" if row.state == Canary.State.HELD else ""
    return Fact(title, f"{share} %", note, tone, url)


@dataclass(frozen=True, slots=True)
class Spender:
    name: str
    cost: str
    length: float
    """Percent of the highest one, for a bar."""


def spenders(rows: Sequence[tuple[Any, str, int]], *, names: bool) -> list[Spender]:
    """Return users by cost. Without the permission for names they are numbers."""
    most = max((micro for _, _, micro in rows), default=0)
    return [
        Spender(name if names else f"#{pk}", money(micro), 100 * micro / most if most else 0)
        for pk, name, micro in rows
    ]


def _of(states: Mapping[str, SwitchState], slug: str) -> SwitchState:
    return states.get(slug, SwitchState(slug))
