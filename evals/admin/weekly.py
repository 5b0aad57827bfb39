"""Regression runs in admin: a chart for each feature, and the list of its weekly runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.decorators import display

from aifeature import registry, shares
from aifeature.admin.common.names import title_of
from aifeature.admin.common.read_only import ChoiceFilter, FeatureFilter, ReadOnlyAdmin
from aifeature.admin.common.show import Labelled, content, moment_column
from aifeature.admin.controls import prompt_notices
from evals.admin import series
from evals.models import Run, WeeklyRun

COLOURS: Final[dict[str, str]] = {
    WeeklyRun.State.OPEN: "info",
    WeeklyRun.State.CONFIRMING: "warning",
    WeeklyRun.State.PASSED: "success",
    WeeklyRun.State.UNCONFIRMED: "success",
    WeeklyRun.State.CONFIRMED: "danger",
    WeeklyRun.State.OUTDATED: "",
    WeeklyRun.State.INCOMPLETE: "warning",
}


class StateFilter(ChoiceFilter):
    title = "state"
    parameter_name = "state"

    def choose(self) -> Iterable[tuple[str, str]]:
        return WeeklyRun.State.choices


@admin.register(WeeklyRun)
class WeeklyRunAdmin(ReadOnlyAdmin):
    """The weekly runs, newest first, below a chart of each feature."""

    list_display = (
        *("feature_title", "started", "state_label", "version", "pass_rate", "change"),
        "outcome",
    )
    list_filter = (FeatureFilter, StateFilter)
    list_before_template = "evals/weekly_series.html"  # type: ignore[assignment]  # unfold's None
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("feature_title", "state_label", "note", "version", "prompt", "slot"),
                    *("pass_rate", "confirming_rate", "change", "action", "answered"),
                    *("changes", "first_run", "fresh_run", "started", "ended"),
                )
            },
        ),
        (
            "Baseline",
            {
                "fields": (
                    *("baseline_note", "baseline_evidence", "run_of_baseline", "is_baseline"),
                    "evidence",
                )
            },
        ),
        (
            "Verdicts",
            {"classes": ("collapse",), "fields": ("verdict_shown", "confirmation_shown")},
        ),
    )

    started = moment_column("created_at", "started")
    ended = moment_column("ended_at", "ended")

    def get_queryset(self, request: HttpRequest) -> QuerySet[WeeklyRun]:
        rows: QuerySet[WeeklyRun] = super().get_queryset(request)
        return rows.select_related("run", "confirmation", "baseline_run")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Add the charts to the page."""
        found = _charts(request.GET.get("feature"))
        context = {"charts": found, **(extra_context or {})}
        return super().changelist_view(request, context)

    @admin.display(description="feature", ordering="feature")
    def feature_title(self, row: WeeklyRun) -> str:
        return title_of(row.feature)

    @display(description="state", label=COLOURS)
    def state_label(self, row: WeeklyRun) -> Labelled:
        return Labelled(row.state, row.get_state_display())

    @admin.display(description="prompt's hash")
    def prompt(self, row: WeeklyRun) -> str:
        return content(row.prompt_hash)

    @admin.display(description="pass rate")
    def pass_rate(self, row: WeeklyRun) -> str:
        return _rate(row.verdict)

    @admin.display(description="pass rate of the fresh run")
    def confirming_rate(self, row: WeeklyRun) -> str:
        return _rate(row.confirmation_verdict)

    @admin.display(description="against its baseline")
    def change(self, row: WeeklyRun) -> str:
        points = (row.verdict or {}).get("difference_points")
        if points is None:
            return "-"
        return format_html('<span class="aif-nowrap">{} points</span>', shares.points(points))

    @admin.display(description="outcome")
    def outcome(self, row: WeeklyRun) -> str:
        marks = format_html_join("", '<span class="aif-note">{}</span>', _texts(row))
        return format_html('<div class="aif-outcome">{}{}</div>', row.note, marks)

    @admin.display(description="changes since the run before")
    def changes(self, row: WeeklyRun) -> str:
        return format_html_join("", "<div>{}</div>", _texts(row)) or "-"

    @admin.display(description="answered by")
    def answered(self, row: WeeklyRun) -> str:
        return ", ".join(row.answered_by) or "-"

    @admin.display(description="run")
    def first_run(self, row: WeeklyRun) -> str:
        return _link(row.run)

    @admin.display(description="fresh run")
    def fresh_run(self, row: WeeklyRun) -> str:
        return _link(row.confirmation)

    @admin.display(description="baseline measured by the run")
    def run_of_baseline(self, row: WeeklyRun) -> str:
        return _link(row.baseline_run)

    @admin.display(description="verdict")
    def verdict_shown(self, row: WeeklyRun) -> str:
        return content(row.verdict)

    @admin.display(description="verdict on the fresh run")
    def confirmation_shown(self, row: WeeklyRun) -> str:
        return content(row.confirmation_verdict)


def _charts(only: str | None) -> list[tuple[series.Series, list[dict[str, Any]]]]:
    """Return the charts of the features with runs, or of one, with the feature's notices."""
    slugs = [slug for slug, feature in registry.all_features().items() if feature.suite]
    found, notices = [], prompt_notices.of_features(slugs)
    for slug in slugs:
        if only in (None, "", slug):
            rows = list(WeeklyRun.objects.filter(feature=slug)[: series.MOST])
            if rows:
                found.append((series.of(title_of(slug), rows), notices[slug]))
    return found


def _rate(verdict: dict[str, Any] | None) -> str:
    figures = verdict["candidate"] if verdict else None
    if not figures:
        return "-"
    rate, interval = shares.percent(figures["rate"]), shares.span(figures["interval"])
    return format_html('<span class="aif-nowrap">{} ({})</span>', rate, interval)


def _texts(row: WeeklyRun) -> list[tuple[str]]:
    return [(mark["text"],) for mark in row.marks]


def _link(run: Run | None) -> str:
    if run is None:
        return "-"
    address = reverse("admin:evals_run_change", args=(run.pk,))
    return format_html('<a class="aif-link" href="{}">{}</a>', address, run.pk)
