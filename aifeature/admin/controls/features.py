"""The page of a feature: everything that operators set and need to see."""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, ClassVar, cast

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import Error, transaction
from django.db.models import BigIntegerField, Case, Model, OuterRef, QuerySet, Subquery, When
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils.html import format_html
from unfold.decorators import display

from aifeature import registry
from aifeature.admin.audit_log import changes
from aifeature.admin.common.names import STAGE_COLOURS, title_of
from aifeature.admin.common.show import Labelled, dollars, moment_column
from aifeature.admin.controls import cards, feature_page, prompt_notices, prompt_page
from aifeature.admin.controls.confirm_page import ConfirmingAdmin
from aifeature.admin.controls.feature_form import INVITED, FeatureControlForm
from aifeature.admin.controls.prompt_buttons import PromptButtons
from aifeature.admin.controls.prompt_forms import known
from aifeature.models import Activation, ControlChange, FeatureControl, SpendWindow
from aifeature.services import access, controls
from aifeature.services.controls import GLOBAL, rate_overrides, switch
from aifeature.services.controls.switch_state import ALL
from aifeature.services.promotion import activations, gate_check

logger = logging.getLogger(__name__)

_FACTS = ("spend_today", "changed")
_FORM_ONLY = ("reason", "seen")


@admin.register(FeatureControl)
class FeatureControlAdmin(ConfirmingAdmin, PromptButtons):  # type: ignore[misc]  # one base
    """One row per feature, and one for everything. Each saved change needs a reason.

    The kill switch is not a field of the form. Only its buttons flip it.
    """

    form = FeatureControlForm
    locks_while_saving = True
    list_display = ("title", "stage_label", "percent", "switch", "prompt", "spend_today", "changed")
    list_display_links = ("title",)
    ordering = ("feature",)
    readonly_fields = _FACTS
    autocomplete_fields = INVITED
    object_history_template = "aifeature/admin/feature_history.html"
    change_form_outer_before_template: Any = "aifeature/admin/feature_today.html"
    change_form_outer_after_template: Any = "aifeature/admin/changes.html"
    warn_unsaved_form = True

    class Media:
        css: ClassVar = {"all": ["aifeature/admin.css"]}
        js = ("aifeature/admin.js",)

    changed = moment_column("updated_at", "last change")

    @admin.display(description="feature", ordering="feature")
    def title(self, row: FeatureControl) -> str:
        return title_of(row.feature)

    @display(description="stage", label=STAGE_COLOURS)
    def stage_label(self, row: FeatureControl) -> Labelled:
        everything = row.feature == GLOBAL
        return Labelled("", "-") if everything else Labelled(row.stage, row.get_stage_display())

    @display(
        description="kill switch",
        label={"stopped": "danger", "partly": "warning", "running": "success"},
    )
    def switch(self, row: FeatureControl) -> Labelled:
        if row.killed:
            return Labelled("stopped", "stopped")
        if row.release_percent < ALL:
            return Labelled("partly", f"released for {row.release_percent} % of users")
        return Labelled("running", "running")

    @admin.display(description="prompt")
    def prompt(self, row: Any) -> str:
        feature = registry.find(row.feature)
        if feature is None:
            return row.prompt_version or "-"
        runs, active = controls.prompt_version(feature), row.prompt_version
        text = runs if active in {"", runs} else f"{runs} because {active} is not available"
        mark = ""
        if row.live and row.live.kind == Activation.Kind.OVERRIDDEN:
            text = row.live.version
            mark = f" by an override until {row.live.expires_at:%Y-%m-%d %H:%M} UTC"
        elif gate_check.why_staff_only(row.feature, row):
            mark = " for staff only: no prompt with evidence"
        link = '<a class="aif-link" href="{}">{}</a><span class="aif-doubt">{}</span>'
        return format_html(link, prompt_notices.prompts_url(row.feature), text, mark)

    @admin.display(description="spend today")
    def spend_today(self, row: Any) -> str:
        return f"{dollars(row.spent_today)} spent, {dollars(row.held_today)} held"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        today = {"spent_today": _today("spent_micro"), "held_today": _today("held_micro")}
        return cast("QuerySet[Any]", rows.annotate(**today))

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the list. Its rows have what is live, from one query for all."""
        found = super().get_changelist_instance(request)
        rows = list(found.result_list)
        live = activations.live_rows(row.feature for row in rows)
        for row in rows:
            row.live = live.get(row.feature)
        found.result_list = rows
        return found

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        everything = isinstance(obj, FeatureControl) and obj.feature == GLOBAL
        why = _FORM_ONLY if self.has_change_permission(request, obj) else ()
        now = ("Current state", {"fields": ("spend_today", "changed")})
        reason = [("Why", {"fields": why})] if why else []
        if everything:
            caps = ("daily_budget_usd", "user_daily_spend_usd", "monthly_budget_usd")
            return [("Caps", {"fields": caps}), *reason, now]
        answers = ("prompt_version", "regression_action", "deadline_s", "retention_days")
        reach = ("stage", "percent", *INVITED, "beta_cap", "holdout_percent")
        return [
            ("Who may use it", {"fields": reach}),
            (
                "Caps",
                {"fields": ("daily_budget_usd", "user_daily_budget_usd", "user_daily_spend_usd")},
            ),
            (
                "Limits per user",
                {"fields": ("requests_per_minute", "tokens_per_minute", "user_in_flight")},
            ),
            ("Answers", {"fields": answers}),
            *reason,
            now,
        ]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.prompts)
        name = "aifeature_featurecontrol_prompts"
        return [path("<path:object_id>/prompts/", view, name=name), *super().get_urls()]

    def prompts(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what is live of a feature, and the evidence of each version.

        Raises:
            Http404: This code has no such feature.
            PermissionDenied: The visitor may not view features.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        feature = known(object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Prompts and evidence: {feature.title}",
            **prompt_page.context(request, feature),
        }
        return render(request, "aifeature/admin/prompts.html", context)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        slug = unquote(object_id)
        notices = {"notices": prompt_notices.of_features([slug])[slug]}
        return super().history_view(request, object_id, {**notices, **(extra_context or {})})

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        _make_rows()
        return super().changelist_view(request, extra_context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        slug = unquote(object_id or "")
        if switch.exists(slug):
            _make_rows()
        context = {
            "subtitle": title_of(slug),
            "changes": changes.latest(_changes(request, slug)),
            "cards": cards.of_features(request, datetime.now(UTC), only=slug),
            "panels": feature_page.panels(request, slug, datetime.now(UTC)),
            **(extra_context or {}),
        }
        return super().changeform_view(request, object_id, form_url, context)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Save through the service, which writes the audit rows."""
        if not form.values_changed:
            return
        changed = [name for name in form.values_changed if name not in INVITED]
        values = {name: form.cleaned_data[name] for name in changed}
        _set(request, obj.feature, values, form.cleaned_data["reason"])
        for doubt in form.doubts:
            messages.warning(request, doubt)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: Any) -> None:
        row = form.instance
        before = {name: _ids(row, name) for name in INVITED}
        super().save_related(request, form, formsets, change)
        for name in INVITED:
            if (after := _ids(row, name)) != before[name]:
                changes.note_list(
                    row.feature,
                    name,
                    before[name],
                    after,
                    reason=form.cleaned_data["reason"],
                    user_id=int(request.user.pk or 0),
                )
        transaction.on_commit(controls.clear_cache)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def _ids(row: FeatureControl, name: str) -> set[int]:
    return set(getattr(row, name).values_list("pk", flat=True))


def _set(request: HttpRequest, slug: str, values: dict[str, Any], reason: str) -> None:
    controls.change(slug, values, reason=reason, user_id=request.user.pk)
    # Other requests may have cached the old row since the service cleared the cache.
    transaction.on_commit(controls.clear_cache)


def _changes(request: HttpRequest, slug: str) -> QuerySet[ControlChange]:
    """Return the changes of a feature. Those of single users need a permission of their own."""
    rows = ControlChange.objects.filter(feature=slug)
    if cards.may_see(request, "controlchange"):
        return rows
    return rows.exclude(field__in=(access.blocks.FIELD, rate_overrides.FIELD))


def _make_rows() -> None:
    """Create missing rows of features. Their defaults mean off, as a missing row does.

    If the database accepts no writes, the page shows the existing rows.
    """
    known = set(FeatureControl.objects.values_list("feature", flat=True))
    if not (missing := set(switch.names()) - known):
        return
    try:
        with transaction.atomic():
            FeatureControl.objects.bulk_create(
                (FeatureControl(feature=slug) for slug in missing), ignore_conflicts=True
            )
    except Error:
        logger.warning("cannot create control rows of %s", ", ".join(sorted(missing)))


def _today(column: str) -> Case:
    """Return today's amount of the row's own window, as part of the list's query."""
    windows = SpendWindow.objects.filter(day=datetime.now(UTC).date())
    everything = windows.filter(scope=SpendWindow.Scope.GLOBAL)
    own = windows.filter(scope=SpendWindow.Scope.FEATURE, key=OuterRef("feature"))
    return Case(
        When(feature=GLOBAL, then=Coalesce(Subquery(everything.values(column)[:1]), 0)),
        default=Coalesce(Subquery(own.values(column)[:1]), 0),
        output_field=BigIntegerField(),
    )
