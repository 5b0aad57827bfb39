"""Runs of evaluations in admin: how far they are, and their verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import JSONObject
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.decorators import display

from aifeature import shares
from aifeature.admin.common.names import title_of
from aifeature.admin.common.read_only import ChoiceFilter, FeatureFilter, ReadOnlyAdmin
from aifeature.admin.common.show import Labelled, content, moment_column
from evals import report
from evals.harness import costs
from evals.models import Run, Sample
from evals.report import facts, words

STATE_COLOURS: Final[dict[str, str]] = {
    Run.State.RUNNING: "info",
    Run.State.ENDED: "",
    Run.State.STOPPED: "warning",
}
DECISION_COLOURS: Final = {"pass": "success", "regression": "danger", "not comparable": "warning"}

_REPORT: Final = "evals_run_report"

REFRESH_S: Final = 3
"""Seconds after which the page of a running run shows newer figures."""


class VerdictFilter(ChoiceFilter):
    title = "verdict"
    parameter_name = "verdict__decision"

    def choose(self) -> Iterable[tuple[str, str]]:
        return [(decision, decision) for decision in DECISION_COLOURS]


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    """Runs, newest first, and for each the figures of its stored verdict."""

    list_display = (
        *("feature", "compared", "state_label", "progress", "verdict_label", "pass_rate"),
        *("spent", "kind", "started"),
    )
    list_filter = (FeatureFilter, "state", VerdictFilter)
    ordering = ("-created_at", "-id")
    wide_fields = ("cases",)
    change_form_template = "evals/run.html"
    fieldsets = (
        (
            "Row",
            {
                "classes": ("collapse",),
                "fields": (
                    *("id", "kind", "repeats", "started", "ended", "provider"),
                    *("suite_hash", "scorer_hash", "guard_hash", "judge_shown"),
                ),
            },
        ),
    )

    started = moment_column("created_at", "started")
    ended = moment_column("ended_at", "ended")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """Return the runs, each with the counts and the spend of its samples as `so_far`."""
        samples = Sample.objects.filter(run=OuterRef("pk")).order_by().values("run")
        so_far = JSONObject(
            total=Count("pk"),
            scored=Count("pk", filter=Q(state=Sample.State.SCORED)),
            unscored=Count("pk", filter=Q(state=Sample.State.UNSCORED)),
            spent_micro=Sum("cost_micro"),
        )
        rows: Any = super().get_queryset(request)
        found: QuerySet[Run] = rows.with_driver().annotate(
            so_far=Subquery(samples.annotate(so_far=so_far).values("so_far"))
        )
        return found

    @admin.display(description="versions")
    def compared(self, run: Run) -> str:
        return format_html('<span class="aif-nowrap">{}</span>', words.pair(run))

    @display(description="state", label=STATE_COLOURS)
    def state_label(self, run: Any) -> Labelled:
        return _state(run)

    @admin.display(description="progress")
    def progress(self, run: Any) -> str:
        done = _progress(run)
        return format_html(
            '<div class="aif-so-far"><progress class="aif-progress" value="{}" max="{}"'
            ' aria-label="Repeats done"></progress><span class="aif-note">{}</span></div>',
            *(done["value"], done["max"], done["text"]),
        )

    @display(description="verdict", label=DECISION_COLOURS)
    def verdict_label(self, run: Run) -> Labelled:
        decision = run.verdict["decision"] if run.verdict else ""
        return Labelled(decision, decision or "-")

    @admin.display(description="pass rate")
    def pass_rate(self, run: Run) -> str:
        figures = run.verdict["candidate"] if run.verdict else None
        if not figures:
            return "-"
        rate, interval = shares.percent(figures["rate"]), shares.span(figures["interval"])
        return format_html('<span class="aif-nowrap">{} ({})</span>', rate, interval)

    @admin.display(description="spent")
    def spent(self, run: Run) -> str:
        spent, cap = costs.dollars(_spent_micro(run)), costs.dollars(run.cap_micro)
        return format_html('<span class="aif-nowrap">{} of {}</span>', spent, cap)

    @admin.display(description="judge")
    def judge_shown(self, run: Run) -> str:
        return content(run.judge)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,  # noqa: FBT001, FBT002 (Django's own signature)
        change: bool = False,  # noqa: FBT001, FBT002
        form_url: str = "",
        obj: Any = None,
    ) -> Any:
        context["story"] = _story(obj)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.report)
        return [path("<path:object_id>/report/", view, name=_REPORT), *super().get_urls()]

    def report(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the report of a run as a page with a policy and an origin of its own.

        It holds outputs of models. Its sandbox keeps all scripts away from this site.

        Raises:
            PermissionDenied: The visitor may not view runs.
            Http404: There is no such run.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = self.get_object(request, unquote(object_id))
        if run is None:
            raise Http404
        try:
            text, policy = report.html(run), report.policy()
        except ModuleNotFoundError as error:
            why = f"This server makes no reports, because it has no package {error.name}."
            how = f"Run `python -m evals report {run.pk}` where the extra `evals` is installed."
            self.message_user(request, f"{why} {how}", messages.WARNING)
            return HttpResponseRedirect(reverse("admin:evals_run_change", args=(run.pk,)))
        own = f"sandbox allow-scripts; {policy}; frame-ancestors 'none'"
        return HttpResponse(text.encode(errors="replace"), headers={"Content-Security-Policy": own})


def _state(run: Any) -> Labelled:
    """Return the state of a run. One without a driver is labelled as a stopped one."""
    if run.is_abandoned:
        return Labelled(Run.State.STOPPED, "Abandoned")
    return Labelled(run.state, run.get_state_display())


def _spent_micro(run: Any) -> int:
    return run.so_far["spent_micro"] if run.so_far else 0


def _progress(run: Any) -> dict[str, Any]:
    """Return the done repeats of a run for a bar, and all of them in words."""
    found = run.so_far or {"total": 0, "scored": 0, "unscored": 0}
    unscored = f", {found['unscored']:,} unscored" if found["unscored"] else ""
    return {
        "value": found["scored"] + found["unscored"],
        "max": max(1, found["total"]),
        "text": f"{found['scored']:,} of {words.count(found['total'], 'repeat')} scored{unscored}",
    }


def _story(run: Any) -> dict[str, Any]:
    """Return what the page shows of a run."""
    verdict: Mapping[str, Any] | None = run.verdict
    decision = verdict["decision"] if verdict else ""
    is_running = run.state == Run.State.RUNNING
    colour, state = _state(run)
    alone = words.abandoned(run) if run.is_abandoned else ""
    return {
        "title": f"{title_of(run.feature)}: {words.pair(run)}",
        "state": state,
        "state_colour": STATE_COLOURS[colour],
        "decision": decision,
        "decision_colour": DECISION_COLOURS.get(decision, ""),
        "headline": words.headline(run, verdict),
        "reasons": verdict["reasons"] if verdict else [],
        "sandbox": words.SANDBOX if run.provider == "sandbox" else "",
        "note": f"{alone[0].upper()}{alone[1:]}." if alone else run.note,
        "outputs_deleted": words.outputs_deleted(run) if run.outputs_deleted_at else "",
        "report_url": reverse(f"admin:{_REPORT}", args=(run.pk,)),
        "progress": _progress(run),
        "as_of": f"{datetime.now(UTC):%H:%M:%S} UTC",
        "refresh_s": REFRESH_S if is_running else None,
        "resume": "" if run.state == Run.State.ENDED else words.resume(run),
        "rates": list(_rates(run, verdict)) if verdict else [],
        "facts": list(facts.of_run(run, spent_micro=_spent_micro(run))),
        "gate": verdict["gate"]["badge"] if verdict and verdict.get("gate") else "",
    }


def _rates(run: Run, verdict: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for arm in facts.COMPARED:
        if figures := verdict[arm]:
            yield {
                "title": f"{arm.capitalize()} {run.arms[arm]['version']}",
                "rate": shares.percent(figures["rate"]),
                "interval": shares.span(figures["interval"]),
            }
